"""The table of glyphs: names, keywords, families."""

from pathlib import Path

import pytest

from fewstep_distillation.data.emoji_config import Sources
from fewstep_distillation.data.glyphs import SLANG, Glyph, family, join_key, read_glyphs


@pytest.fixture(scope="module")
def glyphs(sources: Sources, cache: Path) -> dict[str, Glyph]:
    """The table of the cut packages."""
    return read_glyphs(sources.texts, cache)


def test_packages_agree_on_the_key() -> None:
    assert join_key("1F468-200D-2764-FE0F-200D-1F468") == "1f468-200d-2764-200d-1f468"
    assert join_key("0023-FE0F-20E3") == join_key("0023-20e3")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("man firefighter", "woman firefighter", "firefighter"), "firefighter"),
        (("waving hand", "waving hand: dark skin tone"), "waving hand"),
        (("cat face", "cat"), "cat"),
        (("man", "woman"), None),  # nothing is left: the name itself
    ],
)
def test_variants_of_one_thing_are_one_family(names: tuple[str, ...], expected: str | None) -> None:
    assert [family(name) for name in names] == [expected or name for name in names]


def test_a_glyph_holds_what_the_packages_say(glyphs: dict[str, Glyph]) -> None:
    eye = glyphs["1f441"]
    assert (eye.name, eye.family, eye.group, eye.subgroup, eye.base) == (
        "eye",
        "eye",
        "people & body",
        "body parts",
        None,
    )
    assert eye.keywords == ("body", "one", "face", "look", "see", "watch", "stare", "single")


def test_keywords_are_plain_distinct_and_clean(glyphs: dict[str, Glyph]) -> None:
    assert "booze" in glyphs["1f37a"].keywords and "drunk" not in glyphs["1f37a"].keywords
    for glyph in glyphs.values():
        assert glyph.keywords
        assert len(set(glyph.keywords)) == len(glyph.keywords)
        assert not SLANG & set(glyph.keywords)
        assert glyph.name.lower() not in glyph.keywords
        assert all(keyword.isascii() and keyword == keyword.lower().strip() for keyword in glyph.keywords)


def test_a_skin_tone_belongs_to_its_base(glyphs: dict[str, Glyph]) -> None:
    base, dark = glyphs["1f44b"], glyphs["1f44b-1f3ff"]
    assert dark.base == base.codepoints and dark.name == "waving hand: dark skin tone"
    assert (dark.family, dark.keywords, dark.group) == (base.family, base.keywords, base.group)
