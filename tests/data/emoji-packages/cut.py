"""Cuts a few glyphs out of the pinned packages, so that the tests build a data set offline: python tests/data/emoji-packages/cut.py.

Each package becomes a folder named like its tarball; the tests pack it again. Run it when a pin changes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewstep_distillation.data.emoji_config import EmojiConfig
from fewstep_distillation.data.glyphs import Glyph, join_key, read_glyphs
from fewstep_distillation.data.icon_set import IconSet
from fewstep_distillation.data.joining import Names
from fewstep_distillation.data.packages import Package, fetch, read

FOLDER = Path(__file__).parent

# The eight of tests/data/emoji-slice, then: an icon that is not square, one that is another mirrored, skin tones, a flag, a glyph without
# letters in its name, one that is there twice, one whose keywords hold slang, and one that may not be used in one style.
GLYPHS = [
    *("1f33a", "1f36c", "1f388", "1f3bf", "1f441", "1f494", "1f4d7", "1f6b3"),
    "1f349",
    "1f449",
    *("1f44b", "1f44b-1f3fc", "1f44b-1f3ff"),
    "1f1ef-1f1f5",
    "0023-20e3",
    "26a7",
    "1f37a",
    "1f468-200d-2764-200d-1f468",
]


def main() -> None:
    """Writes all folders anew."""
    config = EmojiConfig(Path("unused"))
    glyphs = read_glyphs(config.sources.texts, config.cache)
    helpers = [IconSet(config.sources.style(key).package, config.cache) for key in config.sources.named]
    names = Names(glyphs, helpers)
    for style in config.chosen:
        tarball = fetch(style.package, config.cache)
        if style.bitmaps is None:
            files = _cut_icons(tarball, glyphs, names)
        else:
            files = {
                path: data
                for path, data in read(tarball, rf"{style.bitmaps}/.*\.webp").items()
                if join_key(Path(path).stem) in GLYPHS
            }
        _write(style.package, style.licence, files)
    _cut_texts(config)


def _cut_icons(tarball: Path, glyphs: Mapping[str, Glyph], names: Names) -> dict[str, bytes]:
    files = read(tarball, r"(icons|chars)\.json")
    data, chars = json.loads(files["icons.json"]), json.loads(files["chars.json"])
    chars = {codepoints: name for codepoints, name in chars.items() if join_key(codepoints) in GLYPHS}
    aliases = data.get("aliases", {})
    kept = {name for name in (*data["icons"], *aliases) if names.find(name) in GLYPHS} | set(chars.values())
    for name in list(kept):
        while name in aliases:
            name = aliases[name]["parent"]
            kept.add(name)
    cut = {key: data[key] for key in ("prefix", "width", "height") if key in data}
    cut["icons"] = {name: icon for name, icon in data["icons"].items() if name in kept}
    cut["aliases"] = {name: alias for name, alias in aliases.items() if name in kept}
    return {"icons.json": _json(cut), "chars.json": _json(chars)}


def _cut_texts(config: EmojiConfig) -> None:
    texts = config.sources.texts
    files = read(fetch(texts.emojibase, config.cache), r"en/(data|messages)\.json")
    entries = [_without_other_skins(entry) for entry in json.loads(files["en/data.json"])]
    files["en/data.json"] = _json([entry for entry in entries if join_key(entry["hexcode"]) in GLYPHS])
    files["en/messages.json"] = _json(json.loads(files["en/messages.json"]))
    _write_text(texts.emojibase, files, config.cache)
    ((path, content),) = read(fetch(texts.emojilib, config.cache), r"dist/emoji-en-US\.json").items()
    lib = {
        emoji: tags
        for emoji, tags in json.loads(content).items()
        if join_key("-".join(f"{ord(character):04x}" for character in emoji)) in GLYPHS
    }
    _write_text(texts.emojilib, {path: _json(lib)}, config.cache)
    ((path, content),) = read(fetch(texts.emoji_mart, config.cache), r"sets/15/all\.json").items()
    mart = {
        key: entry
        for key, entry in json.loads(content)["emojis"].items()
        if join_key(entry["skins"][0]["unified"]) in GLYPHS
    }
    _write_text(texts.emoji_mart, {path: _json({"emojis": mart})}, config.cache)


def _without_other_skins(entry: dict[str, Any]) -> dict[str, Any]:
    skins = [skin for skin in entry.get("skins", []) if join_key(skin["hexcode"]) in GLYPHS]
    return {**entry, "skins": skins}


def _write_text(package: Package, files: Mapping[str, bytes], cache: Path) -> None:
    _write(package, "MIT", {**files, **read(fetch(package, cache), "LICENSE")})


def _write(package: Package, licence: str, files: Mapping[str, bytes]) -> None:
    facts = {"name": package.name, "version": package.version, "license": licence}
    folder = FOLDER / package.tarball.removesuffix(".tgz")
    for path, content in {"package.json": _json(facts), **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _json(data: object) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    main()
