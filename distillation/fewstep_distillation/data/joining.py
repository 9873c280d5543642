"""Which drawing of a style shows which glyph."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from fewstep_distillation.data.glyphs import Glyph, join_key
from fewstep_distillation.data.icon_set import IconSet
from fewstep_distillation.data.packages import fetch, read
from fewstep_distillation.data.raster import Drawing
from fewstep_distillation.data.styles import Style

_TRANSLITERATED = str.maketrans("ñåéçãíôü", "naecaiou", "\u2019'\u201c\u201d")  # quotation marks go
_TONE = re.compile(r"(.*?)-(medium-light|medium-dark|medium|light|dark)")


def slug(name: str) -> str:
    """The name of a glyph as icon sets write it: ASCII words joined by "-"."""
    plain = name.lower().translate(_TRANSLITERATED).replace("*", "asterisk").replace("#", "hash")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


class Names:
    """Code points by the name of an icon, for the sets that do not list code points themselves."""

    def __init__(self, glyphs: Mapping[str, Glyph], sets: Iterable[IconSet]) -> None:
        self._by_slug = {slug(glyph.name): codepoints for codepoints, glyph in glyphs.items()}
        for icons in sets:  # names of those that do list them, which differ from Unicode's here and there
            for codepoints, name in icons.codepoints.items():
                if join_key(codepoints) in glyphs:
                    self._by_slug.setdefault(name, join_key(codepoints))
        self._by_letters = {name.replace("-", ""): codepoints for name, codepoints in self._by_slug.items()}

    def find(self, icon: str) -> str | None:
        """Code points of the glyph that an icon of this name shows, or None."""
        forms = [icon, icon.replace("flag-for-", "flag-")]
        if tone := _TONE.fullmatch(icon):
            forms.append(f"{tone[1]}-{tone[2]}-skin-tone")
        found = next((self._by_slug[form] for form in forms if form in self._by_slug), None)
        return found or self._by_letters.get(icon)


def join(style: Style, glyphs: Mapping[str, Glyph], names: Names, cache: Path) -> dict[str, Drawing]:
    """The drawings of a style by code points: those that the package lists, then those whose name tells."""
    if style.bitmaps is not None:
        return _join_bitmaps(style, glyphs, cache)
    icons = IconSet(style.package, cache)
    listed = ((join_key(codepoints), name) for codepoints, name in icons.codepoints.items())
    named = ((names.find(name), name) for name in icons)
    joined: dict[str, Drawing] = {}
    for codepoints, name in (*listed, *named):
        if codepoints is None or codepoints not in glyphs or codepoints in joined:
            continue
        if (svg := icons.svg(name)) is not None:
            joined[codepoints] = Drawing("svg", svg.encode())
    return joined


def _join_bitmaps(style: Style, glyphs: Mapping[str, Glyph], cache: Path) -> dict[str, Drawing]:
    """The first file of a glyph in the order of the tarball: two glyphs are there with and without variation selectors."""
    joined: dict[str, Drawing] = {}
    for path, data in read(fetch(style.package, cache), rf"{style.bitmaps}/[^/]+\.webp").items():
        codepoints = join_key(PurePosixPath(path).stem)
        if codepoints in glyphs:
            joined.setdefault(codepoints, Drawing("webp", data))
    return joined
