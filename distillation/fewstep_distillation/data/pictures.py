"""The pictures that a configuration asks for: which glyphs, in which styles, in which order."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fewstep_distillation.data.dataset import Split
from fewstep_distillation.data.emoji_config import EmojiConfig
from fewstep_distillation.data.glyphs import Glyph, read_glyphs
from fewstep_distillation.data.icon_set import IconSet
from fewstep_distillation.data.joining import Names, join
from fewstep_distillation.data.raster import Drawing
from fewstep_distillation.data.splits import split_of, unit_hash
from fewstep_distillation.data.styles import Style

_ZERO_IN_A_LIMITED_SET = 8  # one glyph in so many is of the split `zero`


@dataclass(frozen=True)
class Picture:
    """A glyph in a style, before it is rasterised."""

    style: Style
    glyph: Glyph
    split: Split
    drawing: Drawing

    @property
    def row(self) -> dict[str, object]:
        """What `index.jsonl` says of it, without its place in `images.bin`."""
        return {
            "style": self.style.key,
            "codepoints": self.glyph.codepoints,
            "name": self.glyph.name,
            "keywords": list(self.glyph.keywords),
            "family": self.glyph.family,
            "group": self.glyph.group,
            "subgroup": self.glyph.subgroup,
            "split": self.split,
            "licence": self.style.licence,
        }


def list_pictures(config: EmojiConfig) -> list[Picture]:
    """Style after style in the order of the sources, each by code points; fetches packages that the cache lacks.

    Raises:
        FewstepError: a package cannot be fetched or is damaged.
    """
    glyphs = read_glyphs(config.sources.texts, config.cache)
    helpers = [IconSet(config.sources.style(key).package, config.cache) for key in config.sources.named]
    names = Names(glyphs, helpers)
    pictures: list[Picture] = []
    for style in config.chosen:
        drawings = join(style, glyphs, names, config.cache)
        if style.within is not None:
            trusted = join(config.sources.style(style.within), glyphs, names, config.cache)
            drawings = {codepoints: drawings[codepoints] for codepoints in drawings.keys() & trusted.keys()}
        for glyph in (glyphs[codepoints] for codepoints in sorted(drawings)):
            if _is_wanted(glyph, config):
                drawing = drawings[glyph.codepoints]
                pictures.append(Picture(style, glyph, split_of(glyph, style.key), drawing))
    if config.glyphs is None:
        return pictures
    chosen = choose_glyphs(pictures, config.glyphs)
    return [picture for picture in pictures if picture.glyph.codepoints in chosen]


def choose_glyphs(pictures: Sequence[Picture], count: int) -> set[str]:
    """Code points of `count` glyphs: those that most styles draw, evenly over the groups, about one in eight of the split `zero`."""
    glyphs = list({picture.glyph.codepoints: picture.glyph for picture in pictures}.values())
    drawn = Counter(picture.glyph.codepoints for picture in pictures)
    zero = {picture.glyph.codepoints for picture in pictures if picture.split == "zero"}
    glyphs.sort(key=lambda glyph: (-drawn[glyph.codepoints], unit_hash(f"sample:{glyph.codepoints}")))
    unseen = _take_turns(glyph for glyph in glyphs if glyph.codepoints in zero)
    seen = _take_turns(glyph for glyph in glyphs if glyph.codepoints not in zero)
    unseen_count = min(max(round(count / _ZERO_IN_A_LIMITED_SET), count - len(seen)), len(unseen))
    return {*unseen[:unseen_count], *seen[: count - unseen_count]}


def _take_turns(glyphs: Iterable[Glyph]) -> list[str]:
    """Code points of the first glyph of every group, then of the second of every group, and so on."""
    turns: Counter[str] = Counter()
    keyed = []
    for glyph in glyphs:
        group = glyph.group or ""
        keyed.append((turns[group], group, glyph.codepoints))
        turns[group] += 1
    return [codepoints for _, _, codepoints in sorted(keyed)]


def _is_wanted(glyph: Glyph, config: EmojiConfig) -> bool:
    if glyph.group in (None, "components"):  # parts such as a bare skin tone
        return False
    return (config.flags or glyph.group != "flags") and (config.skins or glyph.base is None)
