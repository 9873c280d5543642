"""The pool of rasterising processes and its shards on disk."""

import multiprocessing
from pathlib import Path

import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.data import shards
from fewstep_distillation.data.raster import Drawing
from fewstep_distillation.data.shards import encode_shard, rasterise_shards, read_shard

SIZE = 32


def drawing(number: int) -> Drawing:
    """A bar of its own height."""
    body = f'<path d="M0 0h8v{1 + number % 8}h-8z" fill="#{number % 16:x}8f"/>'
    return Drawing("svg", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">{body}</svg>'.encode())


DRAWINGS = [(f"bar {number}", drawing(number)) for number in range(22)]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six shards, the last one not full."""
    monkeypatch.setattr(shards, "PICTURES", 4)


@pytest.mark.parametrize("workers", [1, 3])
def test_shards_hold_all_pictures_in_order(workers: int, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    paths = rasterise_shards(DRAWINGS, SIZE, tmp_path, workers, lambda *progress: heard.append(progress))
    assert len(paths) == 6 and sorted(tmp_path.iterdir()) == paths
    assert [picture for path in paths for picture in read_shard(path)] == encode_shard(DRAWINGS, SIZE)
    assert heard[0] == (0, 22) and heard[-1] == (22, 22)
    assert heard == sorted(heard)


def test_finished_shards_are_taken_up(tmp_path: Path) -> None:
    paths = rasterise_shards(DRAWINGS, SIZE, tmp_path, 1, lambda done, total: None)
    paths[1].unlink()
    paths[0].write_bytes(b"[1, 1, 1, 1]\nabcd")  # would be overwritten if it were drawn again
    heard: list[tuple[int, int]] = []
    again = rasterise_shards(DRAWINGS, SIZE, tmp_path, 1, lambda *progress: heard.append(progress))
    assert again == paths
    assert heard == [(18, 22), (22, 22)]
    assert list(read_shard(paths[0])) == [b"a", b"b", b"c", b"d"]
    assert list(read_shard(paths[1])) == encode_shard(DRAWINGS[4:8], SIZE)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_drawing_that_cannot_be_drawn_is_named(workers: int, tmp_path: Path) -> None:
    drawings = [*DRAWINGS, ("noto 1f600", Drawing("svg", b"<svg"))]
    with pytest.raises(
        FewstepError, match=r"cannot rasterise noto 1f600 \(ValueError: .*resvg-py and pillow"
    ):
        rasterise_shards(drawings, SIZE, tmp_path, workers, lambda done, total: None)


def test_a_killed_process_is_told_and_its_work_is_not_lost(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done:
            for child in multiprocessing.active_children():
                child.kill()

    # Enough left to do for a kill after the first shard to meet unfinished work.
    drawings = [(name, drawing) for _ in range(40) for name, drawing in DRAWINGS]
    with pytest.raises(
        FewstepError, match="was killed, most likely for lack of memory; run again with fewer workers"
    ):
        rasterise_shards(drawings, 256, tmp_path, 2, kill)
    assert 0 < len(list(tmp_path.iterdir())) < len(drawings) / 4
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".shard"]
