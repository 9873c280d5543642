"""The glyphs that emoji sets draw: code points, names, keywords and groups, from three text packages.

emojibase carries Unicode's CLDR names and groups; emojilib and emoji-mart add keywords.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewstep_distillation.data.packages import Package, fetch, read


@dataclass(frozen=True)
class TextPackages:
    """The packages that the table of glyphs is read from."""

    emojibase: Package
    emojilib: Package
    emoji_mart: Package


TEXTS = TextPackages(
    Package(
        "emojibase-data",
        "17.0.0",
        "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    ),
    Package(
        "emojilib",
        "4.0.3",
        "sha512-KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g==",
    ),
    Package(
        "@emoji-mart/data",
        "1.2.1",
        "sha512-no2pQMWiBy6gpBEiqGeU77/bFejDqUTRY7KX+0+iur13op3bqUsXdnwoZs6Xb1zbv0gAj5VvS1PWoUUckSr5Dw==",
    ),
)

# Keywords that a prompt must not be taught: coarse, sexual, insulting, and names of companies.
SLANG = frozenset({
    "af", "ass", "bitch", "breast", "bs", "butt", "cock", "crap", "damn", "drug", "drugs", "drunk", "fml", "handicap", "horny",
    "kills", "lmao", "molester", "phallic", "pissed", "roflmao", "sexual", "sexy", "shit", "shitface", "snapchat", "terrorism",
    "turd", "twitter", "weed",
})  # fmt: skip
_KEYWORD = re.compile(r"[a-z][a-z '\-]{1,24}")
_SELECTORS = ("fe0e", "fe0f")  # text and emoji presentation; sets disagree on writing them
_PEOPLE = re.compile(r"\b(man|woman|men|women|person|people|boy|girl|mx claus|mrs\.? claus|santa claus)\b")
_FILLERS = re.compile(r"\b(face|facing right|with|in|the|of|and|button|symbol)\b")


@dataclass(frozen=True)
class Glyph:
    """One emoji: a key that joins all packages, its name in English and what it is about.

    `codepoints` is lower-case hexadecimal joined by "-", without variation selectors; `base` is that of the glyph without skin tones, or
    None if this is one. `family` is shared by glyphs that differ in gender or skin alone. `group` is None for parts that stand alone nowhere.
    """

    codepoints: str
    name: str
    keywords: tuple[str, ...]
    family: str
    group: str | None
    subgroup: str | None
    base: str | None


def read_glyphs(texts: TextPackages, cache: Path) -> dict[str, Glyph]:
    """All glyphs by their code points, in the order of Unicode; a variant follows its base and shares its keywords."""
    files = read(fetch(texts.emojibase, cache), r"en/(data|messages)\.json")
    messages = json.loads(files["en/messages.json"])
    groups = {item["order"]: item["message"] for item in messages["groups"]}
    subgroups = {item["order"]: item["message"] for item in messages["subgroups"]}
    lib, mart = _emojilib(texts.emojilib, cache), _emoji_mart(texts.emoji_mart, cache)
    glyphs: dict[str, Glyph] = {}
    for entry in json.loads(files["en/data.json"]):
        base = join_key(entry["hexcode"])
        tags = [*entry.get("tags", ()), *lib.get(base, ()), *mart.get(base, ())]
        shared = (
            _keywords(tags, entry["label"]),
            family(entry["label"]),
            groups.get(entry.get("group")),
            subgroups.get(entry.get("subgroup")),
        )
        glyphs[base] = Glyph(base, entry["label"], *shared, base=None)
        for skin in entry.get("skins", ()):
            key = join_key(skin["hexcode"])
            glyphs[key] = Glyph(key, skin["label"], *shared, base=base)
    return glyphs


def join_key(hexcode: str) -> str:
    """Code points as all packages can agree on: lower case, without variation selectors."""
    return "-".join(part for part in hexcode.lower().split("-") if part not in _SELECTORS)


def family(name: str) -> str:
    """What must not be parted by a split: the name without gender, skin tone and filling words."""
    bare = re.sub(r":.*skin tone.*", "", name.lower())
    bare = _FILLERS.sub("", _PEOPLE.sub("", bare))
    return re.sub(r"[^a-z0-9]+", " ", bare).strip() or name.lower()


def _keywords(tags: Iterable[str], name: str) -> tuple[str, ...]:
    """Each keyword once, in lower case, without the name itself, slang and what is not plain English letters."""
    tidy = (tag.replace("_", " ").strip().lower() for tag in tags)
    unwanted = SLANG | {name.lower()}
    return tuple(dict.fromkeys(tag for tag in tidy if _KEYWORD.fullmatch(tag) and tag not in unwanted))


def _emojilib(package: Package, cache: Path) -> dict[str, list[str]]:
    (content,) = read(fetch(package, cache), r"dist/emoji-en-US\.json").values()
    return {
        join_key("-".join(f"{ord(character):x}" for character in emoji)): tags
        for emoji, tags in json.loads(content).items()
    }


def _emoji_mart(package: Package, cache: Path) -> dict[str, list[str]]:
    (content,) = read(fetch(package, cache), r"sets/15/all\.json").values()
    entries: Iterable[dict[str, Any]] = json.loads(content)["emojis"].values()
    return {join_key(entry["skins"][0]["unified"]): entry["keywords"] for entry in entries}
