"""Icons find their glyphs in every set."""

from pathlib import Path

import pytest

from fewstep_distillation.data.emoji_config import Sources
from fewstep_distillation.data.glyphs import Glyph, read_glyphs
from fewstep_distillation.data.icon_set import IconSet
from fewstep_distillation.data.joining import Names, join, slug
from fewstep_distillation.data.packages import read

JAPAN, TRANSGENDER, COUPLE = "1f1ef-1f1f5", "26a7", "1f468-200d-2764-200d-1f468"
HANDS = {"1f44b", "1f44b-1f3fc", "1f44b-1f3ff", "1f449"}

# Of the 18 cut glyphs, those that a style's package does not draw.
LACKING = {
    "noto": {JAPAN},
    "noto-v1": {TRANSGENDER},
    "fxemoji": {JAPAN, TRANSGENDER, COUPLE, *HANDS, "1f3bf", "0023-20e3"},
    "fluent-flat": {JAPAN, COUPLE},
    "fluent-grad": {JAPAN, COUPLE},
    "fluent-3d": set(),
    "twemoji": set(),
    "emojitwo": {TRANSGENDER},
    "streamline": {JAPAN, TRANSGENDER, COUPLE, *HANDS, "1f349", "0023-20e3"},
}


@pytest.fixture(scope="module")
def glyphs(sources: Sources, cache: Path) -> dict[str, Glyph]:
    """The table of the cut packages."""
    return read_glyphs(sources.texts, cache)


@pytest.fixture(scope="module")
def names(sources: Sources, cache: Path, glyphs: dict[str, Glyph]) -> Names:
    """Names of the cut packages."""
    return Names(glyphs, [IconSet(sources.style(key).package, cache) for key in sources.named])


def test_slugs_are_ascii_words() -> None:
    assert slug("man\u2019s shoe") == "mans-shoe"
    assert slug("flag: Côte d\u2019Ivoire") == "flag-cote-divoire"
    assert slug("keycap: #") == "keycap-hash" and slug("keycap: *") == "keycap-asterisk"


@pytest.mark.parametrize(
    ("icon", "codepoints"),
    [
        ("waving-hand", "1f44b"),
        ("waving-hand-medium-light", "1f44b-1f3fc"),  # Fluent leaves out the words "skin tone"
        ("waving-hand-dark-skin-tone", "1f44b-1f3ff"),
        ("flag-for-japan", JAPAN),
        ("keycap-pound", "0023-20e3"),  # Noto's word, known from the code points it lists
        ("brokenheart", "1f494"),  # FxEmojis joins words
        ("dark", None),
        ("thumbsdown", None),
    ],
)
def test_names_are_found(names: Names, icon: str, codepoints: str | None) -> None:
    assert names.find(icon) == codepoints


@pytest.mark.parametrize("style", LACKING)
def test_every_style_joins_all_that_it_draws(
    style: str, sources: Sources, cache: Path, glyphs: dict[str, Glyph], names: Names
) -> None:
    joined = join(sources.style(style), glyphs, names, cache)
    assert glyphs.keys() - joined.keys() == LACKING[style]
    assert joined.keys() <= glyphs.keys()


def test_of_two_bitmaps_of_a_glyph_the_first_is_taken(
    sources: Sources, cache: Path, glyphs: dict[str, Glyph], names: Names
) -> None:
    style = sources.style("fluent-3d")
    files = read(cache / style.package.tarball, r"assets/26a7.*")
    assert list(files) == ["assets/26a7-fe0f.webp", "assets/26a7.webp"]
    assert join(style, glyphs, names, cache)[TRANSGENDER].data == files["assets/26a7-fe0f.webp"]
