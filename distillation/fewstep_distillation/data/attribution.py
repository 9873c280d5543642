"""ATTRIBUTION.md of a built data set: who drew what, under which licence, and what was changed."""

from fewstep_distillation.data.emoji_config import EmojiConfig

_HEAD = """\
# Attribution

The pictures in `images.bin` are emoji drawings of others. Changes: rasterised at {size} x {size} pixels, stored as lossless WebP.

| style | credit | licence of the art | npm package |
|---|---|---|---|
"""
_TEXTS = """
Names and keywords in `index.jsonl` come from these npm packages, all under the MIT licence; emojibase takes its names from
Unicode CLDR (Unicode License v3).

"""


def attribution(config: EmojiConfig) -> str:
    """The text of the file, in Markdown."""
    styles = [
        f"| {style.key} | {style.credit} | {style.licence} | {style.package.name} {style.package.version} |\n"
        for style in config.chosen
    ]
    texts = config.sources.texts
    packages = [
        f"- {package.name} {package.version}\n"
        for package in (texts.emojibase, texts.emojilib, texts.emoji_mart)
    ]
    return "".join([_HEAD.format(size=config.size), *styles, _TEXTS, *packages])
