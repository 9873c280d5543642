"""Files to a board, resumable and checked: what is there already is not sent again, and every SHA-256 is compared over there."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewstep.devices import receiver
from fewstep.devices.address import Address
from fewstep.devices.ssh import ConnectionLostError, Remote, refusal
from fewstep.errors import FewstepError, IntegrityError

OnBytes = Callable[[int, int], None]
"""(bytes that are there, bytes in all)"""
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Item:
    """A file to send: where it is here, its relative path there, its size in bytes and its SHA-256."""

    source: Path
    path: str
    size: int
    sha256: str


def send(
    remote: Remote,
    python: str,
    folder: str,
    items: Sequence[Item],
    on_bytes: OnBytes = lambda _done, _total: None,
) -> int:
    """Brings the files into the folder of the board and returns how many bytes went over the wire.

    Args:
        remote: the board.
        python: its interpreter, 3.11 or newer.
        folder: an existing one there.
        items: what to send.
        on_bytes: told of the progress.

    Raises:
        ConnectionLostError: the connection broke; call again, and only what is missing goes.
        FewstepError: the board's disk is full, or it says something unexpected.
        IntegrityError: a file arrived as another than the manifest says.
    """
    source = Path(receiver.__file__).read_text(encoding="utf-8")
    with remote.start([python, "-c", source, folder]) as process:
        try:
            return _Sending(process, remote.address, on_bytes).all(items)
        finally:
            if process.poll() is None:
                process.kill()
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # bytes that a broken pipe did not take
                process.stdin.close()


class _Sending:
    """One conversation with the receiver."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: Address, on_bytes: OnBytes) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process, self._address, self._on_bytes = process, address, on_bytes
        self._in, self._out, self._errors = process.stdin, process.stdout, process.stderr

    def all(self, items: Sequence[Item]) -> int:
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self._in.write(json.dumps([[i.path, i.size, i.sha256] for i in items]).encode() + b"\n")
            self._in.flush()
        present = self._answer()
        if not isinstance(present, list):
            raise self._failed(present)
        done, total, sent = sum(present), sum(item.size for item in items), 0
        with contextlib.suppress(BrokenPipeError):
            for item, have in zip(items, present, strict=True):
                for block in _blocks(item, have):
                    self._in.write(block)
                    self._in.flush()
                    sent += len(block)
                    self._on_bytes(done + sent, total)
            self._in.close()
        answer = self._answer()
        if not isinstance(answer, dict) or answer.get("wrong") != []:
            raise self._failed(answer)
        return sent

    def _answer(self) -> object:
        """A line of the receiver."""
        line = self._out.readline()
        if line:
            value: object = json.loads(line)
            return value
        errors = self._errors.read().decode(errors="replace")
        if self._process.wait() == 255:
            raise refusal(self._address, errors)
        if "EOFError" in errors:
            raise ConnectionLostError(
                f"expected the connection to last, found it lost, to {self._address}; run the command again"
            )
        raise self._failed(errors)

    def _failed(self, answer: object) -> FewstepError:
        if isinstance(answer, dict) and (wrong := answer.get("wrong")):
            return IntegrityError(
                f"expected {wrong[0]} as the manifest has it, found other bytes, on {self._address}; "
                "check the bundle with `fewstep verify`, then run the command again"
            )
        said = answer.get("error") if isinstance(answer, dict) else answer
        return far_failure(self._address, str(said))


def far_failure(address: Address, said: str) -> FewstepError:
    """What went wrong over there, by the last line of its messages; a full disk is told as such."""
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return FewstepError(
            f"expected room on the board's disk, found it full, on {address}; free some space there, or measure fewer "
            "variants (--variant)"
        )
    last = (said.strip().splitlines() or ["nothing said"])[-1]
    return FewstepError(f"expected the board to do its part, found an error, on {address}: {last}")


def _blocks(item: Item, start: int) -> Iterator[bytes]:
    """The bytes of a file from `start` to the size that was announced.

    Raises:
        IntegrityError: the file is shorter now.
    """
    with item.source.open("rb") as stream:
        stream.seek(start)
        left = item.size - start
        while left:
            block = stream.read(min(left, _BLOCK))
            if not block:
                raise IntegrityError(
                    f"expected {item.size} bytes, found fewer, in {item.source}; export or copy the bundle again"
                )
            left -= len(block)
            yield block
