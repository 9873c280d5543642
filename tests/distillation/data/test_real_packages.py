"""The whole base set from the real packages: its size, its splits, its digest. Needs npm and the network once."""

from collections import Counter
from pathlib import Path

import pytest
from tests.scripts import load_script

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.data.emoji import EmojiConfig, build, rasteriser_versions

from .conftest import DATA, SLICE, SLICE_GLYPHS

pytestmark = pytest.mark.slow
BUILT = Path(__file__).parents[3] / "data" / "emoji-128"

# Glyphs that each style draws, without flags and skin tones, counted by an independent script on 2026-11-23.
STYLES = {
    "noto": 1644,
    "noto-v1": 1214,
    "fxemoji": 466,
    "fluent-flat": 1587,
    "fluent-grad": 1587,
    "fluent-3d": 1563,
    "twemoji": 1644,
    "emojitwo": 1080,
    "streamline": 361,
}


@pytest.fixture(scope="module")
def base_set(tmp_path_factory: pytest.TempPathFactory) -> EmojiDataset:
    """The base set, built anew."""
    output = tmp_path_factory.mktemp("base") / "emoji-128"
    build(EmojiConfig(output))
    return EmojiDataset(output, verify=True)


def test_the_base_set_has_its_size(base_set: EmojiDataset) -> None:
    rows = base_set.rows
    assert len(rows) == 11146
    assert len({row.codepoints for row in rows}) == 1644
    assert len({row.family for row in rows}) == 1411
    assert Counter(row.style for row in rows) == STYLES
    assert Counter(row.split for row in rows) == {"train": 9984, "zero": 517, "compose": 645}


def test_a_second_build_gives_the_same_digest(base_set: EmojiDataset, tmp_path: Path) -> None:
    if (BUILT / "dataset.json").is_file() and EmojiDataset(BUILT).info["versions"] == rasteriser_versions():
        other = EmojiDataset(BUILT, verify=True).digest
    else:
        other = build(EmojiConfig(tmp_path / "again")).digest
    assert base_set.digest == other


def test_the_committed_slice_is_what_its_command_gives(tmp_path: Path) -> None:
    # fewstep data build emoji --glyphs 8 -o tests/data/emoji-slice
    info = build(EmojiConfig(tmp_path / "slice", glyphs=SLICE_GLYPHS))
    committed = EmojiDataset(SLICE)
    rows = [(row.style, row.codepoints, row.split) for row in EmojiDataset(info.folder).rows]
    assert rows == [(row.style, row.codepoints, row.split) for row in committed.rows]
    if committed.info["versions"] == rasteriser_versions():
        assert info.digest == committed.digest


def test_the_cut_packages_are_what_their_script_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = DATA / "emoji-packages"
    cut = load_script(folder / "cut.py")
    monkeypatch.setattr(cut, "FOLDER", tmp_path)
    cut.main()
    for path in folder.glob("*/**/*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
