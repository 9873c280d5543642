"""Files are written whole or not at all."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fewstep import atomic
from fewstep.atomic import sole_writer
from fewstep.errors import FewstepError


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


HOLD = """
import sys, time
from pathlib import Path
from fewstep.atomic import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_ends_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.fewstep"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with (
            pytest.raises(FewstepError, match=f"nobody else to write .*, found process {first.pid} doing so"),
            sole_writer(path),
        ):
            pass
        with sole_writer(tmp_path / "y.fewstep"):
            pass
        first.kill()
    assert [p.name for p in tmp_path.iterdir()] == [
        ".x.fewstep.lock"
    ]  # the lock went with the process, the file did not
    with sole_writer(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_writers_one_after_the_other_all_get_their_turn(tmp_path: Path) -> None:
    """None is refused because the file of the lock goes away between finding it and locking it."""
    path, inside, refused = tmp_path / "x", [0], [0]

    def write(_k: int) -> None:
        for _ in range(200):
            try:
                with sole_writer(path):
                    inside[0] += 1
                    assert inside[0] == 1
                    inside[0] -= 1
            except FewstepError:
                refused[0] += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert refused[0] < 800 and list(tmp_path.iterdir()) == []
