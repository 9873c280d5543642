"""A bundle folder that is there whole, or not at all."""

import contextlib
import ctypes
import glob
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2(2), and RENAME_SWAP of macOS's renamex_np(2)
_AT_FDCWD = -100


@contextlib.contextmanager
def staged_folder(output: Path, before_move: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A new folder beside `output` that takes its place when the block ends, in one step, and goes away if the block fails.

    An older bundle at `output` stays as it is until then; if `before_move` raises, it stays for good. What killed runs left behind is
    removed.

    Raises:
        FewstepError: something that is not a bundle is at `output`.
        OSError: the folder cannot be made or moved.
    """
    require_replaceable(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(output)
    staging = output.parent / f".{output.name}.{os.getpid()}.partial"
    try:
        staging.mkdir()
        yield staging
        _sync(staging)
        before_move()
        _move(staging, output)
    finally:
        shutil.rmtree(
            staging, ignore_errors=True
        )  # after a failure the new bundle, after an exchange the old one


def require_replaceable(output: Path) -> None:
    """Refuses a place where something else than a bundle is.

    Raises:
        FewstepError: it is.
    """
    bundle = (output / MANIFEST_NAME).is_file() or (output.is_dir() and not any(output.iterdir()))
    if (output.exists() or output.is_symlink()) and (output.is_symlink() or not bundle):
        raise FewstepError(
            f"expected a bundle or nothing, found something else, at {output}; choose another -o"
        )


def _remove_stale(output: Path) -> None:
    """Removes what killed runs left; where one was killed between the two steps of `_move`, the older bundle takes its place again."""
    for path in output.parent.glob(f".{glob.escape(output.name)}.*"):
        pid, _, ending = path.name.removeprefix(f".{output.name}.").partition(".")
        if ending not in ("partial", "old") or not pid.isdigit() or _alive(int(pid)):
            continue
        if ending == "old" and not output.exists():
            path.rename(output)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # someone else's
    return pid != os.getpid()


def _sync(root: Path) -> None:
    """Has everything on the disk before the name appears: a power cut must not leave empty files under it."""
    for path in [*root.rglob("*"), root]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(staging: Path, output: Path) -> None:
    """Puts the new folder in the place of the old one, which moves to the name of the new one or goes away."""
    if not output.exists():
        staging.rename(output)
    elif not _exchange(staging, output):
        old = staging.with_suffix(".old")
        output.rename(old)
        try:
            staging.rename(output)
        except OSError:
            old.rename(output)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two folders in one step; False where the system cannot."""
    names = os.fsencode(a), os.fsencode(b)
    if sys.platform == "linux":
        call, arguments = "renameat2", (_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
    elif sys.platform == "darwin":  # not run: there was no Mac
        call, arguments = "renamex_np", (*names, _EXCHANGE)
    else:
        return False
    swap = getattr(ctypes.CDLL(None), call, None)
    return swap is not None and swap(*arguments) == 0
