"""The pictures that a configuration asks for: which glyphs, in which styles, in which order."""

from dataclasses import dataclass

from fewstep_distillation.data.emoji_config import EmojiConfig
from fewstep_distillation.data.glyphs import Glyph, read_glyphs
from fewstep_distillation.data.icon_set import IconSet
from fewstep_distillation.data.joining import Names, join
from fewstep_distillation.data.raster import Drawing
from fewstep_distillation.data.splits import Split, split_of
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
    """Style after style in the order of the sources, each by code points. The packages are in the cache.

    Raises:
        FewstepError: a package is damaged.
    """
    glyphs = read_glyphs(config.sources.texts, config.cache)
    named = (IconSet(config.sources.style(key).package, config.cache) for key in config.sources.named)
    names = Names(glyphs, named)
    pictures: list[Picture] = []
    for style in config.chosen:
        drawings = join(style, glyphs, names, config.cache)
        if style.within is not None:
            drawings = drawings_within(drawings, config, style.within, glyphs, names)
        for codepoints in sorted(drawings):
            glyph = glyphs[codepoints]
            if _is_wanted(glyph, config):
                pictures.append(Picture(style, glyph, split_of(glyph, style.key), drawings[codepoints]))
    if config.glyphs is None:
        return pictures
    chosen = choose_glyphs(pictures, config.glyphs)
    return [picture for picture in pictures if picture.glyph.codepoints in chosen]
