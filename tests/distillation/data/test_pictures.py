"""Which pictures a configuration asks for."""

import dataclasses
from collections import Counter

import pytest

from fewstep_distillation.data.emoji_config import EmojiConfig
from fewstep_distillation.data.pictures import Picture, choose_glyphs, list_pictures


def shown(pictures: list[Picture]) -> set[tuple[str, str]]:
    return {(picture.style.key, picture.glyph.codepoints) for picture in pictures}


@pytest.fixture
def everything(config: EmojiConfig) -> EmojiConfig:
    """All that the cut packages hold."""
    return dataclasses.replace(config, glyphs=None, flags=True, skins=True)


def test_flags_and_skins_come_on_demand_alone(everything: EmojiConfig) -> None:
    pictures = list_pictures(everything)
    plain = list_pictures(dataclasses.replace(everything, flags=False, skins=False))
    assert {p.glyph.codepoints for p in pictures if p.glyph.base is not None} == {
        "1f44b-1f3fc",
        "1f44b-1f3ff",
    }
    assert {p.glyph.codepoints for p in pictures if p.glyph.group == "flags"} == {"1f1ef-1f1f5"}
    expected = [p.row for p in pictures if p.glyph.base is None and p.glyph.group != "flags"]
    assert [picture.row for picture in plain] == expected


def test_a_style_is_kept_within_the_glyphs_of_the_one_it_names(everything: EmojiConfig) -> None:
    drawn = shown(list_pictures(everything))
    assert ("fluent-3d", "1f44b") in drawn
    for foreign in ("1f1ef-1f1f5", "1f468-200d-2764-200d-1f468"):  # Microsoft's own set lacks them
        assert ("twemoji", foreign) in drawn and ("fluent-3d", foreign) not in drawn
    alone = dataclasses.replace(everything, styles=("fluent-3d",))
    assert shown(list_pictures(alone)) == {pair for pair in drawn if pair[0] == "fluent-3d"}


def test_a_style_is_the_same_whatever_else_is_chosen(everything: EmojiConfig) -> None:
    rows = [picture.row for picture in list_pictures(everything)]
    chosen = ("streamline", "noto")
    some = [p.row for p in list_pictures(dataclasses.replace(everything, styles=chosen))]
    assert some == [row for row in rows if row["style"] in chosen]
    assert some[0]["style"] == "noto"  # the order of the sources, not of the option


@pytest.mark.parametrize("count", [1, 3, 8, 14, 100])
def test_a_limit_takes_whole_glyphs(everything: EmojiConfig, count: int) -> None:
    pictures = list_pictures(dataclasses.replace(everything, flags=False, skins=False))
    drawn = Counter(picture.glyph.codepoints for picture in pictures)
    chosen = choose_glyphs(pictures, count)
    assert len(chosen) == min(count, len(drawn))
    limited = list_pictures(dataclasses.replace(everything, flags=False, skins=False, glyphs=count))
    assert len(limited) == sum(drawn[codepoints] for codepoints in chosen)


def test_a_limit_spreads_over_groups_and_splits(config: EmojiConfig) -> None:
    pictures = list_pictures(config)
    groups = Counter(p.glyph.group for p in pictures if p.split != "zero")
    assert len(groups) == 7
    assert {picture.split for picture in pictures} == {"train", "zero", "compose"}
    assert len({picture.glyph.codepoints for picture in pictures if picture.split == "zero"}) == 1
