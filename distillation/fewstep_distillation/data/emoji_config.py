"""What a data set of emoji is built from, and with which options."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep_distillation.data.glyphs import TEXTS, TextPackages
from fewstep_distillation.data.packages import Package
from fewstep_distillation.data.styles import FLUENT_FLAT, NOTO, STYLES, TWEMOJI, Style
from fewstep_models.pretrained import cache_folder

Progress = Callable[[str, int, int], None]  # what is done, how many of how many


@dataclass(frozen=True)
class Sources:
    """All packages: the styles, the texts, and the styles whose own lists of code points help to read the names of the others' icons."""

    styles: tuple[Style, ...] = STYLES
    texts: TextPackages = TEXTS
    named: tuple[str, ...] = (NOTO.key, TWEMOJI.key, FLUENT_FLAT.key)

    def style(self, key: str) -> Style:
        """The style of this key."""
        return next(style for style in self.styles if style.key == key)


@dataclass(frozen=True)
class EmojiConfig:
    """Options of `build`.

    `styles` are keys; their order does not matter. `glyphs` limits the set to so many glyphs, spread over groups and splits. `workers`
    are processes that rasterise. Nothing but `styles`, `size`, `flags`, `skins`, `glyphs` and `sources` changes the result.
    """

    output: Path
    styles: tuple[str, ...] = tuple(style.key for style in STYLES)
    size: int = 128
    flags: bool = False
    skins: bool = False
    glyphs: int | None = None
    workers: int = os.cpu_count() or 1
    cache: Path = field(default_factory=lambda: cache_folder() / "npm")
    overwrite: bool = False
    sources: Sources = Sources()

    def __post_init__(self) -> None:
        """Refuses styles that are not there and numbers that draw nothing."""
        known = [style.key for style in self.sources.styles]
        if not self.styles or not set(self.styles) <= set(known):
            raise FewstepError(
                f"expected styles out of {', '.join(known)}, found {', '.join(self.styles) or 'none'}; choose from the list"
            )
        if not 16 <= self.size <= 1024:
            raise FewstepError(
                f"expected a size of 16 to 1024 pixels, found {self.size}; choose another --size"
            )
        for name, number in (("glyphs", self.glyphs), ("workers", self.workers)):
            if number is not None and number < 1:
                raise FewstepError(f"expected {name} of at least 1, found {number}; choose a larger --{name}")

    @property
    def chosen(self) -> list[Style]:
        """The styles to draw, in the order of `sources`."""
        return [style for style in self.sources.styles if style.key in self.styles]

    @property
    def packages(self) -> list[Package]:
        """Every package that is needed, each once: those drawn, those that help to join, those of texts."""
        helpers = {style.within for style in self.chosen} | set(self.sources.named)
        styles = [*self.chosen, *(style for style in self.sources.styles if style.key in helpers)]
        texts = self.sources.texts
        all_of_them = [style.package for style in styles] + [
            texts.emojibase,
            texts.emojilib,
            texts.emoji_mart,
        ]
        return list(dict.fromkeys(all_of_them))
