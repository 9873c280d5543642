"""Zip files of bundles: a round trip to the byte, and every trick of a hostile one."""

import gc
import io
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep.archive import pack, unpack, unpack_to
from fewstep.bundle import Bundle
from fewstep.errors import BundleError, IntegrityError, SignatureError
from fewstep.pipeline import Pipeline
from fewstep.trust import Trust

Command = Callable[..., object]


@pytest.fixture
def packed(tiny_bundle: Path, tmp_path: Path) -> Path:
    pack(tiny_bundle, tmp_path / "tiny.fewstep.zip")
    return tmp_path / "tiny.fewstep.zip"


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_round_trip_is_the_identity(tiny_bundle: Path, packed: Path, tmp_path: Path) -> None:
    unpack(packed, tmp_path / "out.fewstep")
    assert files(tmp_path / "out.fewstep") == files(tiny_bundle)
    pack(tmp_path / "out.fewstep", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.zip",
        "out.fewstep",
        "tiny.fewstep.zip",
    ]


def test_a_zip_is_opened_like_a_folder_and_leaves_nothing(tiny_bundle: Path, packed: Path) -> None:
    pipeline = Pipeline(packed)
    assert pipeline.generate("a heart", 1).tobytes() == Pipeline(tiny_bundle).generate("a heart", 1).tobytes()
    root = pipeline.bundle.root
    assert root.is_dir()
    del pipeline
    gc.collect()  # a pipeline and its graphs refer to each other
    assert not root.exists()


def test_deflated_archives_and_folders_in_them_are_taken(tiny_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("ort")
        for name, data in files(tiny_bundle).items():
            archive.writestr(name, data)
    assert Bundle.open(tmp_path / "x.zip").verify() == 8


Change = Callable[[dict[str, bytes], zipfile.ZipFile], None]


def written(
    path: Path, content: dict[str, bytes], extra: Callable[[zipfile.ZipFile], None] = lambda _a: None
) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of names that are there twice
        for name, data in content.items():
            archive.writestr(name, data)
        extra(archive)
    return path


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("ort/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def device(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("ort/device")
    entry.external_attr = (stat.S_IFCHR | 0o777) << 16
    archive.writestr(entry, "")


def text(name: str) -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, "x")


def comment(content: bytes) -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: setattr(archive, "comment", content)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (text("../evil"), "expected a plain relative path"),
        (text("/etc/evil"), "expected a plain relative path"),
        (text("a\\..\\evil"), "expected a plain relative path"),
        (text("C:evil"), "expected a plain relative path"),
        (text("../evil/"), "expected plain files|expected a plain relative path"),
        (text("nul.txt"), "names that every system can write"),
        (text("tokenizer.json"), "every file of an archive once"),
        (text("Tokenizer.json"), "differ in more than case"),
        (text("tokenizer.json/x"), "a file or a folder, found both"),
        (text("extra.txt"), "expected the files that the manifest lists, found one too many"),
        (link, "expected plain files in an archive, found 'ort/link'"),
        (device, "expected plain files in an archive, found 'ort/device'"),
        (comment(b"hello"), "without a comment"),
        (comment(b"PK\5\6" + b"\0" * 18), "expected manifest.json at the top of the archive, found none"),
    ],
)
def test_hostile_entries_are_refused_and_nothing_is_written(
    tiny_bundle: Path, tmp_path: Path, extra: Callable[[zipfile.ZipFile], None], message: str
) -> None:
    path = written(tmp_path / "x.zip", files(tiny_bundle), extra)
    with pytest.raises(BundleError, match=message):
        unpack(path, tmp_path / "out")
    assert [found.name for found in tmp_path.iterdir()] == ["x.zip"]


def test_a_missing_or_changed_file_is_refused_and_nothing_is_left(tiny_bundle: Path, tmp_path: Path) -> None:
    content = files(tiny_bundle)
    tokenizer = content.pop("tokenizer.json")
    with pytest.raises(IntegrityError, match=r"found one too many or too few, 'tokenizer\.json'"):
        unpack(written(tmp_path / "x.zip", content), tmp_path / "out")
    content["tokenizer.json"] = tokenizer[:-1] + b" "
    with pytest.raises(IntegrityError, match=r"expected the file that the manifest lists.*tokenizer\.json"):
        unpack(written(tmp_path / "x.zip", content), tmp_path / "out")
    content["tokenizer.json"] = tokenizer + b" "
    with pytest.raises(IntegrityError, match=r"expected \d+ bytes, found \d+, for tokenizer\.json"):
        unpack(written(tmp_path / "x.zip", content), tmp_path / "out")
    assert [found.name for found in tmp_path.iterdir()] == ["x.zip"]


def test_a_bomb_is_refused_before_it_goes_off(tiny_bundle: Path, tmp_path: Path) -> None:
    content = files(tiny_bundle)
    zeros = b"\0" * (64 << 20)
    manifest = json.loads(content["manifest.json"])
    manifest["files"]["bomb"] = {"sha256": "0" * 64, "bytes": len(zeros)}
    content["manifest.json"] = json.dumps(manifest).encode()
    path = written(
        tmp_path / "x.zip", content, lambda archive: archive.writestr("bomb", zeros, zipfile.ZIP_DEFLATED)
    )
    with pytest.raises(BundleError, match="it is made to fill a disk"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_lies_is_noticed_while_writing(tiny_bundle: Path, packed: Path, tmp_path: Path) -> None:
    """The central directory and the manifest say 100 bytes; the data inflates to more."""
    content = files(tiny_bundle)
    manifest = json.loads(content["manifest.json"])
    manifest["files"]["lie"] = {"sha256": "0" * 64, "bytes": 100}
    content["manifest.json"] = json.dumps(manifest).encode()
    path = written(
        tmp_path / "x.zip",
        content,
        lambda archive: archive.writestr("lie", b"\0" * 100_000, zipfile.ZIP_DEFLATED),
    )
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 100_000), struct.pack("<L", 100)))
    with pytest.raises(BundleError, match=r"found another, for lie|found a broken one"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_overlapping_entries_are_refused(packed: Path, tmp_path: Path) -> None:
    """Two names for one piece of data, as bombs of David Fifield have them."""
    with zipfile.ZipFile(packed) as archive:
        first, second = archive.infolist()[:2]
    data = bytearray(packed.read_bytes())
    at = data.index(struct.pack("<L", second.header_offset) + second.filename.encode())
    data[at : at + 4] = struct.pack("<L", first.header_offset + 1)
    packed.write_bytes(data)
    with pytest.raises(BundleError, match="expected files apart from each other"):
        unpack(packed, tmp_path / "out")


def test_what_stands_before_the_archive_is_refused(packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(b"#!/bin/sh\n" + packed.read_bytes())
    with pytest.raises(BundleError, match="found something before it"):
        unpack(packed, tmp_path / "out")


def test_an_archive_of_too_many_entries_is_refused_before_they_are_read(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for k in range(20_001):
            archive.writestr(str(k), "")
    (tmp_path / "x.zip").write_bytes(made.getvalue())
    with pytest.raises(BundleError, match="at most 10000 files"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("data", [b"", b"PK", b"hello" * 100, b"PK\5\6" + b"\0" * 18])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BundleError, match="expected"):
        Bundle.open(tmp_path / "x.zip")


def test_a_signature_travels_and_is_checked_before_the_folder_appears(
    bundle_copy: Path, tmp_path: Path, sign_bundle: Callable[[Path], str]
) -> None:
    key = sign_bundle(bundle_copy)
    pack(bundle_copy, tmp_path / "x.zip")
    unpack_to(tmp_path / "x.zip", tmp_path / "out", Trust(key))
    Bundle.open(tmp_path / "out", Trust(key)).verify()
    Bundle.open(tmp_path / "x.zip", Trust(key))
    other = sign_bundle(bundle_copy)
    with pytest.raises(SignatureError):
        unpack_to(tmp_path / "x.zip", tmp_path / "other", Trust(other))
    with pytest.raises(BundleError, match="expected no file or folder, found one"):
        unpack_to(tmp_path / "x.zip", tmp_path / "out", Trust())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.fewstep", "out", "x.zip"]


def test_the_commands_pack_and_unpack(tiny_bundle: Path, tmp_path: Path, fewstep_command: Command) -> None:
    for words in (
        ("pack", tiny_bundle, "-o", tmp_path / "x.zip"),
        ("unpack", tmp_path / "x.zip", "-o", tmp_path / "out"),
        ("verify", tmp_path / "out"),
        ("info", tmp_path / "x.zip"),
    ):
        done = fewstep_command(*words)
        assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
