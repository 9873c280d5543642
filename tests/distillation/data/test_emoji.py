"""The whole build, offline, from a few glyphs of the real packages."""

import contextlib
import dataclasses
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.data import shards
from fewstep_distillation.data.dataset import EmojiDataset, Row
from fewstep_distillation.data.emoji import DatasetInfo, EmojiConfig, build, rasteriser_versions

from .conftest import SLICE

FILES = ["ATTRIBUTION.md", "dataset.json", "images.bin", "index.jsonl"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stamps(folder: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]


def placeless(row: Row) -> Row:
    """The row without its place in `images.bin`."""
    return dataclasses.replace(row, offset=0, size=0)


def same_versions(folder: Path) -> bool:
    """Whether a data set was rasterised by the libraries that are installed here."""
    return bool(EmojiDataset(folder).info["versions"] == rasteriser_versions())


def test_the_build_is_the_committed_slice(config: EmojiConfig) -> None:
    info = build(config)
    built, committed = EmojiDataset(config.output, verify=True), EmojiDataset(SLICE, verify=True)
    assert names(config.output) == FILES and names(config.output.parent) == ["emoji"]
    assert list(map(placeless, built.rows)) == list(map(placeless, committed.rows))
    every = range(len(built))
    difference = built.images(every).astype(int) - committed.images(every)
    assert np.abs(difference).max() <= 8  # other versions of the rasteriser may round otherwise
    if same_versions(SLICE):
        assert info.digest == committed.digest


def test_what_was_built_is_told(config: EmojiConfig) -> None:
    info = build(config)
    rows = EmojiDataset(config.output).rows
    assert info == DatasetInfo.open(config.output)
    assert (info.counts.pairs, info.counts.glyphs, info.counts.families) == (71, 8, 8)
    assert info.counts.splits == {"train": 60, "zero": 8, "compose": 3}
    for key, splits in info.counts.styles.items():
        assert sum(splits.values()) == sum(row.style == key for row in rows)
    facts = json.loads((config.output / "dataset.json").read_text())
    pins = {(package["name"], package["integrity"]) for package in facts["packages"]}
    assert pins == {(package.name, package.integrity) for package in config.packages} and len(pins) == 12
    credits = (config.output / "ATTRIBUTION.md").read_text()
    for style in config.sources.styles:
        assert f"| {style.key} | {style.credit} | {style.licence} | {style.package.name} " in credits


def test_two_builds_give_the_same_bytes(config: EmojiConfig, tmp_path: Path) -> None:
    other = dataclasses.replace(config, output=tmp_path / "other", workers=2)
    assert build(config).digest == build(other).digest
    assert all((config.output / name).read_bytes() == (other.output / name).read_bytes() for name in FILES)


def test_a_second_run_finds_the_first(config: EmojiConfig) -> None:
    info = build(config)
    before = stamps(config.output)
    assert build(config) == info
    assert stamps(config.output) == before


def test_an_interrupted_build_goes_on(config: EmojiConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PICTURES", 8)

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "rasterise" and done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(config, interrupt)
    assert not config.output.exists()
    heard: list[tuple[str, int, int]] = []
    info = build(config, lambda *progress: heard.append(progress))
    assert [done for what, done, _ in heard if what == "rasterise"][:2] == [24, 32]
    assert info.digest == build(dataclasses.replace(config, output=config.output.with_name("fresh"))).digest
    assert names(config.output.parent) == ["emoji", "fresh"]


_BUILD_IN_POOL = """
import signal
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from conftest import pack_cut_packages
from fewstep_distillation.data import shards
from fewstep_distillation.data.emoji import EmojiConfig, build

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; a job in the background ignores it
    shards.PICTURES = 2
    folder = Path({folder!r})
    sources = pack_cut_packages(folder / "npm")
    build(EmojiConfig(folder / "emoji", workers=2, cache=folder / "npm", sources=sources))
"""


def stop_build(folder: Path, signals: Sequence[signal.Signals]) -> None:
    """Starts a build in two processes, stops it after three shards, and waits until none of its processes is left."""
    script = folder / "build.py"
    script.write_text(_BUILD_IN_POOL.format(path=[str(Path(__file__).parent), *sys.path], folder=str(folder)))
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        wait_until(
            lambda: process.poll() is not None or len(list(folder.glob(".emoji.partial/*/*.shard"))) >= 3
        )
        pool = children.read_text().split()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.02)
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert len(pool) >= 2
    wait_until(lambda: not any(map(is_running, pool)))
    assert names(folder) == [".emoji.partial", "build.py", "npm"]


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


@needs_proc
def test_a_killed_build_leaves_no_process_and_goes_on(
    config: EmojiConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_build(tmp_path, [signal.SIGKILL])
    monkeypatch.setattr(shards, "PICTURES", 2)
    heard: list[tuple[str, int, int]] = []
    whole = dataclasses.replace(config, glyphs=None)
    info = build(whole, lambda *progress: heard.append(progress))
    assert next(done for what, done, _ in heard if what == "rasterise") >= 6
    assert info.digest == build(dataclasses.replace(whole, output=tmp_path / "fresh")).digest
    assert names(tmp_path) == ["build.py", "emoji", "fresh", "npm"]


@needs_proc
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_all_processes_at_once(times: int, tmp_path: Path) -> None:
    stop_build(tmp_path, [signal.SIGINT] * times)


def is_running(number: str) -> bool:
    """Whether a process is there and more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Polls a condition.

    Raises:
        TimeoutError: it has not come true in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


@contextlib.contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes: a disk that fills up while something is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("limit", "file"), [(100_000, r"000000\.shard"), (250_000, r"\.partial")], ids=["a shard", "the whole"]
)
def test_a_full_disk_is_told_and_nothing_half_built_stands(
    config: EmojiConfig, limit: int, file: str
) -> None:
    message = rf"cannot build .*/emoji: File too large: .*{file}.*; make room .*: what is finished is kept"
    with file_size_limit(limit), pytest.raises(FewstepError, match=message):
        build(config)
    assert names(config.output.parent) == [".emoji.partial"]
    assert not list(config.output.parent.glob(".emoji.partial/*/.*"))
    assert build(config).digest == EmojiDataset(config.output, verify=True).digest
    assert names(config.output.parent) == ["emoji"]


def test_something_else_in_the_place_is_left_alone(config: EmojiConfig) -> None:
    config.output.mkdir()
    (config.output / "thesis.txt").write_text("")
    for overwrite in (False, True):
        with pytest.raises(FewstepError, match=r"expected a data set or nothing at .*, found something else"):
            build(dataclasses.replace(config, overwrite=overwrite))
    assert names(config.output) == ["thesis.txt"]


def test_another_data_set_is_replaced_on_demand_alone(config: EmojiConfig) -> None:
    first = build(config)
    other = dataclasses.replace(config, styles=("twemoji",))
    with pytest.raises(
        FewstepError, match=r"found one with other options .*, or replace it with --overwrite"
    ):
        build(other)
    assert DatasetInfo.open(config.output) == first
    assert build(dataclasses.replace(other, overwrite=True)).counts.pairs == 8
    assert names(config.output.parent) == ["emoji"]


def test_a_damaged_data_set_is_recognised_and_replaced(config: EmojiConfig) -> None:
    digest = build(config).digest
    with (config.output / "images.bin").open("r+b") as file:
        file.write(b"x")
    with pytest.raises(FewstepError, match=r"expected no other data set at .*, found a damaged one"):
        build(config)
    assert build(dataclasses.replace(config, overwrite=True)).digest == digest


@pytest.mark.usefixtures("no_npm")
def test_nothing_is_left_where_a_package_cannot_be_fetched(config: EmojiConfig, tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="expected npm on PATH"):
        build(dataclasses.replace(config, cache=tmp_path / "empty"))
    assert names(tmp_path) == ["empty"]


def test_a_cache_that_cannot_be_written_is_told(config: EmojiConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FewstepError, match=r"cannot build .*: (Not a directory|File exists): .*/file"):
        build(dataclasses.replace(config, cache=tmp_path / "file"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"styles": ("noto", "apple")}, r"expected styles out of noto, .*, streamline, found noto, apple"),
        ({"styles": ()}, "expected styles out of noto, .*, found none"),
        ({"size": 8}, "expected a size of 16 to 1024 pixels, found 8"),
        ({"glyphs": 0}, "expected glyphs of at least 1, found 0"),
        ({"workers": 0}, "expected workers of at least 1, found 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    config: EmojiConfig, change: dict[str, object], message: str
) -> None:
    with pytest.raises(FewstepError, match=message):
        dataclasses.replace(config, **change)  # type: ignore[arg-type]
