"""The splits hold out what they promise, the same everywhere."""

from collections import Counter

import pytest

from fewstep_distillation.data.glyphs import Glyph
from fewstep_distillation.data.splits import split_of, unit_hash
from fewstep_distillation.data.styles import STYLES

KEYS = [style.key for style in STYLES]


def glyph(family: str, codepoints: str = "1f000", base: str | None = None) -> Glyph:
    return Glyph(codepoints, family, (), family, "objects", None, base)


FAMILIES = [glyph(f"thing {number}") for number in range(4000)]


def test_the_hash_is_the_sha256_of_the_text() -> None:
    # printf %s family:skis | sha256sum | head -c 8  ->  0x052652f0
    assert unit_hash("family:skis") == pytest.approx(0x052652F0 / 0xFFFFFFFF, abs=0)


def test_shares_are_as_promised() -> None:
    counts = Counter(split_of(thing, key) for thing in FAMILIES for key in KEYS)
    pairs = counts.total()
    assert counts["zero"] / pairs == pytest.approx(0.04, abs=0.01)
    assert counts["compose"] / pairs == pytest.approx(0.96 * 0.06, abs=0.005)


def test_a_family_is_unseen_in_every_style_or_in_none() -> None:
    for thing in FAMILIES:
        splits = {split_of(thing, key) for key in KEYS}
        assert splits == {"zero"} or "zero" not in splits


def test_a_hidden_pair_hides_neither_the_family_nor_the_style() -> None:
    for thing in FAMILIES:
        splits = [split_of(thing, key) for key in KEYS]
        if "compose" in splits:
            assert "train" in splits


def test_skin_tones_follow_the_family_or_are_hidden_in_all_styles() -> None:
    hidden = 0
    for thing in FAMILIES:
        dark = glyph(thing.family, "1f000-1f3ff", base="1f000")
        splits = {(split_of(thing, key), split_of(dark, key)) for key in KEYS}
        assert splits <= {("zero", "zero"), ("compose", "compose"), ("train", "train"), ("train", "compose")}
        hidden += ("train", "train") not in splits and ("train", "compose") in splits
    assert hidden / len(FAMILIES) == pytest.approx(0.96 * 0.06, abs=0.01)
