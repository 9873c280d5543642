"""A set of icons in Iconify's JSON format (https://iconify.design/docs/types/iconify-json.html)."""

import json
from collections.abc import Iterator
from pathlib import Path

from fewstep_distillation.data.packages import Package, fetch, read

_ALIAS_DEPTH = 4  # aliases of aliases; the sets in use have two


class IconSet:
    """The icons of a package by name; `codepoints` maps those that the set itself lists to names (sparse or empty in some sets)."""

    def __init__(self, package: Package, cache: Path) -> None:
        files = read(fetch(package, cache), r"(icons|chars)\.json")
        self._data = json.loads(files["icons.json"])
        self.codepoints: dict[str, str] = json.loads(files["chars.json"])

    def __iter__(self) -> Iterator[str]:
        """Names of icons, then of aliases."""
        yield from self._data["icons"]
        yield from self._data.get("aliases", {})

    def svg(self, name: str) -> str | None:
        """The icon centred on a square canvas (some are not square), or None if the set has none of this name."""
        icon = self._icon(name)
        if icon is None:
            return None
        width, height = (icon.get(key, self._data.get(key, 16)) for key in ("width", "height"))
        side = max(width, height)
        x, y = icon.get("left", 0) - (side - width) / 2, icon.get("top", 0) - (side - height) / 2
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{x} {y} {side} {side}" width="{side}" height="{side}">{icon["body"]}</svg>'
        )

    def _icon(self, name: str) -> dict[str, str | float] | None:
        """Follows aliases. Those of the sets in use only rename: they carry no turns or flips."""
        for _ in range(_ALIAS_DEPTH):
            if name in self._data["icons"]:
                return self._data["icons"][name]
            name = self._data.get("aliases", {}).get(name, {}).get("parent", "")
        return None
