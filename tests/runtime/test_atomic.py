"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from fewstep import atomic


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.bin"
    for data in (b"first", b"second"):
        atomic.write_bytes(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        atomic.write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic.write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_to_and_not_replaced() -> None:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        atomic.write_bytes(device, b"x" * 100_000)
    assert device.is_char_device()


def test_what_cannot_be_written_is_known_before_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for possible in (tmp_path / "file", tmp_path / "new" / "x.bin", Path("/dev/null")):
        atomic.require_writable(possible)
    for impossible, words in ((tmp_path / "file" / "x.bin", "Not a directory"), (tmp_path, "Is a directory")):
        with pytest.raises(OSError, match=words) as caught:
            atomic.require_writable(impossible)
        assert caught.value.filename == str(impossible)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"
