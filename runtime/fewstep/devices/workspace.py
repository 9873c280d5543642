"""A folder on a board that goes away by itself: when the work ends, and also when the connection is lost for good.

A shell there, the guard, waits on its standard input. The word "done" or the loss of the connection makes it remove the folder, the
latter after some time of grace in which a new guard may take over, so that a transfer can go on where it broke.
"""

import contextlib
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from fewstep.devices.ssh import Remote, refusal
from fewstep.errors import FewstepError

_GUARD = """
if [ -n "$1" ]; then d=$1; else mkdir -p ~/.cache/fewstep && d=$(mktemp -d ~/.cache/fewstep/bench.XXXXXX) || exit 1; fi
[ -d "$d" ] && echo $$ >"$d/.lease" || exit 1
echo "$d"
read -r word
if [ "$word" != done ]; then
    sleep "$2"
    [ "$(cat "$d/.lease" 2>/dev/null)" = $$ ] || exit 0
    [ -f "$d/.pid" ] && kill "$(cat "$d/.pid")" 2>/dev/null
fi
rm -rf "$d"
rmdir ~/.cache/fewstep ~/.cache 2>/dev/null
exit 0
"""
# The folder is under the home and not under /tmp, which lies in memory on some boards.


class Workspace:
    """The folder as a context.

    Args:
        remote: the board.
        grace: seconds after a lost connection before the folder is removed.

    Raises:
        FewstepError: the board cannot be reached, or the folder cannot be made.
    """

    def __init__(self, remote: Remote, grace: float = 60.0) -> None:
        self._remote, self._grace = remote, grace
        self.lost = False
        """Whether the connection broke since the folder was taken."""
        self._guard, self.folder = self._take("")

    def renew(self) -> None:
        """Takes the folder over after a lost connection.

        Raises:
            FewstepError: the board cannot be reached, or the folder is gone.
        """
        self._drop()
        self._guard, self.folder = self._take(self.folder)
        self.lost = False

    def command(self, words: Sequence[str]) -> list[str]:
        """The words so that the guard ends them if the connection is lost for good."""
        return ["sh", "-c", 'echo $$ >"$0/.pid"; exec "$@"', self.folder, *words]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the folder; if the board cannot be told, its guard does so by itself."""
        if self.lost:
            with contextlib.suppress(FewstepError):
                self.renew()
        if self._guard.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                self._guard.communicate(b"done\n", timeout=30)
        self._drop()

    def _take(self, folder: str) -> tuple["subprocess.Popen[bytes]", str]:
        guard = self._remote.start(["sh", "-c", _GUARD, "sh", folder, f"{self._grace:g}"])
        assert guard.stdout is not None
        answer = guard.stdout.readline().decode().rstrip("\n")
        if answer:
            return guard, answer
        _, errors = guard.communicate()
        if guard.returncode == 255:
            raise refusal(self._remote.address, errors.decode(errors="replace"))
        raise FewstepError(
            f"expected room for a folder in ~/.cache/fewstep, found none, on {self._remote.address}; "
            f"free some space ({errors.decode(errors='replace').strip()})"
        )

    def _drop(self) -> None:
        """Ends this side of the guard."""
        if self._guard.poll() is None:
            self._guard.kill()
        for stream in (self._guard.stdin, self._guard.stdout, self._guard.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._guard.wait()
