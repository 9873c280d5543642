"""A bundle as one zip file, for transport: `pack` writes one, `unpack` reads one that a stranger wrote.

A zip file is taken only if it could not be read in two ways: no comment, no two entries of one name, none that overlaps another, none
that is a link or encrypted, and every one listed by the manifest with the size that the archive states. What is written is checked
against the SHA-256 of the manifest as it is written.
"""

import hashlib
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fewstep.errors import BundleError, IntegrityError
from fewstep.limits import ARCHIVE_DIRECTORY_BYTES, ARCHIVE_RATIO, FILES, MANIFEST_BYTES
from fewstep.manifest import MANIFEST_NAME, SIGNATURE_NAME, FileRecord, Manifest
from fewstep.paths import require_distinct_paths, require_safe_path
from fewstep.signature import require_signed
from fewstep.strict_json import parse_json
from fewstep.trust import Trust

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_HEADER = 30  # bytes of a local header before its name
_CHUNK = 1 << 20
_SIGNATURE_BYTES = 10_000
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(root: Path, output: Path) -> None:
    """Writes the files of a bundle into a zip file: the same bundle always gives the same bytes.

    Entries are sorted, stored as they are (weights do not shrink), and of 1980. The file is there whole or not at all.

    Raises:
        OSError: a file cannot be read or written.
    """
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=f".{output.name}.", dir=output.parent, delete=False) as temporary:
        try:
            with zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
                for name in sorted(names, key=lambda name: (name != MANIFEST_NAME, name)):
                    entry = zipfile.ZipInfo(name, _EPOCH)
                    entry.external_attr = (stat.S_IFREG | 0o644) << 16
                    entry.create_system = 3
                    entry.file_size = (root / name).stat().st_size
                    with (root / name).open("rb") as source, archive.open(entry, "w") as target:
                        shutil.copyfileobj(source, target, _CHUNK)
            temporary.flush()
            Path(temporary.name).chmod(0o644)
            Path(temporary.name).replace(output)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise


def unpack(archive: Path, root: Path) -> Manifest:
    """Writes the files of an archive into a new folder and returns the manifest.

    Raises:
        BundleError: it is no archive of a bundle, or one that could be read in two ways, or that grows beyond reason.
        IntegrityError: a file is missing, not listed, or another than the manifest says.
        OSError: the folder exists, or there is no room.
    """
    with _opened(archive) as (opened, size):
        entries = _entries(opened, archive)
        data = _manifest_bytes(opened, entries, archive)
        manifest = Manifest.from_dict(parse_json(data, f"{archive}/{MANIFEST_NAME}"), f"{archive}")
        _check_listed(entries, manifest, archive, size)
        root.mkdir(parents=True)
        try:
            (root / MANIFEST_NAME).write_bytes(data)
            if SIGNATURE_NAME in entries:
                signature = _read(opened, entries[SIGNATURE_NAME], _SIGNATURE_BYTES, archive)
                (root / SIGNATURE_NAME).write_bytes(signature)
            for name, record in manifest.files.items():
                _write(opened, entries[name], record, root / name, archive)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
    return manifest


def unpack_to(archive: Path, root: Path, trust: Trust) -> None:
    """Like `unpack`, with what is asked of the bundle checked before the folder appears.

    Raises:
        BundleError: as there; or the bundle is not signed as asked, or something is at `root`.
    """
    if root.exists() or root.is_symlink():
        raise BundleError(f"expected no file or folder, found one, at {root}; choose another -o")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as temporary:
        unpack(archive, Path(temporary) / "bundle")
        if trust.public_key is not None:
            data = (Path(temporary) / "bundle" / MANIFEST_NAME).read_bytes()
            require_signed(data, Path(temporary) / "bundle", trust.public_key)
        (Path(temporary) / "bundle").rename(root)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """The archive and its size; whatever the zip reader finds wrong becomes one sentence."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        _check_end(stream, size, path)
        try:
            with zipfile.ZipFile(stream) as opened:
                yield opened, size
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            struct.error,
            ValueError,
        ) as error:
            raise BundleError(
                f"expected a zip archive of a bundle, found a broken one, at {path} ({error}); fetch it again"
            ) from None


def _check_end(stream: IO[bytes], size: int, path: Path) -> None:
    """The end of the archive is the end of the file, and its directory is of a bearable size, before anything is read into memory."""
    stream.seek(max(0, size - _END.size - _LOCATOR.size - _END64.size))
    tail = stream.read()
    end = tail[-_END.size :]
    if len(end) != _END.size or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise BundleError(
            f"expected a bundle folder or a zip archive without a comment, found something else, at {path}; check the path"
        )
    _, disk, first_disk, _, count, bytes_, _, _ = _END.unpack(end)
    counts, sizes = [count], [bytes_]
    if tail[-_END.size - _LOCATOR.size :][:4] == b"PK\6\7":
        record = tail[: _END64.size]
        if len(tail) != _END.size + _LOCATOR.size + _END64.size or record[:4] != b"PK\6\6":
            raise BundleError(f"expected the end of a large zip archive, found something else, at {path}")
        fields = _END64.unpack(record)
        counts, sizes = [fields[7]], [fields[8]]
    if disk or first_disk or max(counts) > 2 * FILES or max(sizes) > ARCHIVE_DIRECTORY_BYTES:
        raise BundleError(
            f"expected a zip archive of at most {FILES} files on one disk, found {max(counts)} entries, at {path}"
        )


def _entries(opened: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of the archive by name."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in opened.infolist():
        name = entry.orig_filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if name.endswith("/") and entry.file_size == 0 and kind in (0, stat.S_IFDIR):
            require_safe_path(name[:-1])
            continue
        if name != entry.filename or name in entries:
            raise BundleError(f"expected every file of an archive once, found {name!r} twice, at {path}")
        require_safe_path(name)
        if kind not in (0, stat.S_IFREG) or entry.external_attr & 0x10:
            raise BundleError(f"expected plain files in an archive, found {name!r}, which is none, at {path}")
        if entry.flag_bits & 0x2041 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(
                f"expected files that are stored or deflated, found {name!r}, encrypted or in method {entry.compress_type}, at {path}"
            )
        entries[name] = entry
    require_distinct_paths(entries)
    _check_apart(list(opened.infolist()), path)
    return entries


def _check_apart(entries: list[zipfile.ZipInfo], path: Path) -> None:
    """Entries that share bytes make a small archive large a thousand times over (Fifield, "A better zip bomb", 2019)."""
    end = 0
    if entries and min(entry.header_offset for entry in entries) != 0:
        raise BundleError(
            f"expected an archive that begins with its first file, found something before it, at {path}"
        )
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise BundleError(
                f"expected files apart from each other, found {entry.filename!r} inside another, at {path}"
            )
        end = entry.header_offset + _HEADER + len(entry.orig_filename.encode()) + entry.compress_size


def _manifest_bytes(opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], path: Path) -> bytes:
    if MANIFEST_NAME not in entries:
        raise BundleError(
            f"expected {MANIFEST_NAME} at the top of the archive, found none, at {path}; `fewstep pack` writes it so"
        )
    return _read(opened, entries[MANIFEST_NAME], MANIFEST_BYTES, path)


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int, path: Path) -> bytes:
    """A small file."""
    with opened.open(entry) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit or len(data) != entry.file_size:
        raise BundleError(
            f"expected {entry.filename} of at most {limit} bytes and as large as the archive says, found another, at {path}"
        )
    return data


def _check_listed(entries: dict[str, zipfile.ZipInfo], manifest: Manifest, path: Path, size: int) -> None:
    """The archive holds what the manifest lists, no more and no less, and does not grow beyond reason."""
    found = entries.keys() - {MANIFEST_NAME, SIGNATURE_NAME}
    if different := sorted(found ^ manifest.files.keys()):
        raise IntegrityError(
            f"expected the files that the manifest lists, found one too many or too few, {different[0]!r}, at {path}"
        )
    for name, record in manifest.files.items():
        if entries[name].file_size != record.bytes:
            raise IntegrityError(
                f"expected {record.bytes} bytes, found {entries[name].file_size}, for {name} at {path}; fetch the bundle again"
            )
    total = sum(record.bytes for record in manifest.files.values())
    if total > ARCHIVE_RATIO * size + _CHUNK:
        raise BundleError(
            f"expected files of at most {ARCHIVE_RATIO} times the archive's {size} bytes, found {total}, at {path}; "
            "it is made to fill a disk"
        )


def _write(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, record: FileRecord, target: Path, path: Path
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    total, digest = 0, hashlib.sha256()
    with opened.open(entry) as source, target.open("xb") as stream:
        while chunk := source.read(_CHUNK):
            total += len(chunk)
            if total > record.bytes:
                break
            digest.update(chunk)
            stream.write(chunk)
    if total != record.bytes or digest.hexdigest() != record.sha256:
        raise IntegrityError(
            f"expected the file that the manifest lists, found another, for {entry.filename} at {path}; fetch the bundle again"
        )
