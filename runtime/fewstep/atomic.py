"""Files that are there whole or not at all, and one writer at a time."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fewstep.errors import FewstepError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file through a temporary sibling, so that a failure leaves neither a part of it nor the sibling.

    A path that exists and is not a plain file (a terminal, a pipe) is written directly: it must not be replaced.

    Raises:
        OSError: the folder cannot be made or the data cannot be written; the error names `path`.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path.resolve(), data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keeps every other process of fewstep from writing `path` while the block runs, by a lock that ends with the process, however it ends.

    Raises:
        FewstepError: another one is writing it.
        OSError: there can be no file beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.parent / f".{path.name}.lock"
    handle = _held(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _held(lock: Path, path: Path) -> int:
    """The lock file, locked; made again if its last owner removed it between our two steps."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _lock(handle) and _same(handle, lock):
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
            owner = os.read(handle, 20).decode("ascii", "replace").strip()
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if lock.exists():
            raise FewstepError(
                f"expected nobody else to write {path}, found process {owner or 'unknown'} doing so; wait for it, or choose another -o"
            )


def _lock(handle: int) -> bool:
    """Whether the file is now ours; true where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise
    return True


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def require_writable(path: Path) -> None:
    """Tries whether `write_bytes` could write there, before long work for it begins; leaves nothing behind.

    Raises:
        OSError: the path is a folder, or no file can be made beside it; the error names `path`.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not path.exists() or path.is_file():
            folder = next(parent for parent in path.absolute().parents if parent.exists())
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp gives 0600, which a web server could not read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
