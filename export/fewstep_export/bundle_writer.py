"""A bundle folder that is there whole, or not at all."""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME, FileRecord, Licence, Manifest, Provenance

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2(2)
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


def reusable(output: Path, provenance: Provenance) -> bool:
    """Whether a whole bundle of exactly this provenance (checkpoint, versions, options) is there already."""
    try:
        bundle = Bundle.open(output)
        bundle.verify()
    except (FewstepError, OSError):
        return False
    return bundle.manifest.provenance == provenance


def file_records(root: Path) -> Mapping[str, FileRecord]:
    """Size and SHA-256 of every file of the folder but the manifest, by relative path in order."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path != root / MANIFEST_NAME)
    return {path.relative_to(root).as_posix(): _record(path) for path in files}


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Writes `manifest.json`."""
    text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False) + "\n"
    (root / MANIFEST_NAME).write_text(text, encoding="utf-8")


def licences_text(name: str, licences: Sequence[Licence]) -> str:
    """The content of `LICENCES.md`."""
    rows = [f"| {entry.what} | {entry.licence} | {entry.credit} |" for entry in licences]
    return "\n".join([f"# Licences of {name}", "", "| what | licence | credit |", "|---|---|---|", *rows, ""])


def _record(path: Path) -> FileRecord:
    with path.open("rb") as stream:
        return FileRecord(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


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
    for path in output.parent.glob(f".{output.name}.*.partial"):
        pid = path.name.removesuffix(".partial").rpartition(".")[2]
        if pid.isdigit() and not _alive(int(pid)):
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
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    arguments = _AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _EXCHANGE
    return renameat2 is not None and renameat2(*arguments) == 0
