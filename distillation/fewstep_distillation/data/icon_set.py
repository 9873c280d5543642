"""A set of icons in Iconify's JSON format (https://iconify.design/docs/types/iconify-json.html)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewstep.errors import FewstepError
from fewstep_distillation.data.packages import Package, fetch, read


class IconSet:
    """The icons of a package by name; `codepoints` maps those that the set itself lists to names (empty in some sets)."""

    def __init__(self, package: Package, cache: Path) -> None:
        files = read(fetch(package, cache), r"(icons|chars)\.json")
        data = json.loads(files["icons.json"])
        self.codepoints: dict[str, str] = json.loads(files["chars.json"])
        self._package = package
        self._icons: dict[str, dict[str, Any]] = data["icons"]
        self._aliases: dict[str, dict[str, Any]] = data.get("aliases", {})
        self._canvas = {"width": data.get("width", 16), "height": data.get("height", 16)}  # 16 by the format

    def __iter__(self) -> Iterator[str]:
        """Names of icons, then of aliases."""
        yield from self._icons
        yield from self._aliases

    def svg(self, name: str) -> str | None:
        """The icon centred on a square canvas (some are not square), or None if the set has none of this name.

        Raises:
            FewstepError: the name is an alias that does more than mirror another icon.
        """
        icon, mirrored = self._resolve(name)
        if icon is None:
            return None
        left, top, width, height = (icon.get(key, 0) for key in ("left", "top", "width", "height"))
        side = max(width, height)
        x, y = left - (side - width) / 2, top - (side - height) / 2
        body = icon["body"]
        if mirrored:  # x to left + right - x
            body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{x} {y} {side} {side}" width="{side}" height="{side}">{body}</svg>'
        )

    def _resolve(self, name: str) -> tuple[dict[str, Any] | None, bool]:
        """The icon behind a name with its size filled in, and whether it is mirrored left to right."""
        mirrored = False
        while (alias := self._aliases.get(name)) is not None:
            if unknown := alias.keys() - {"parent", "hFlip"}:
                raise FewstepError(
                    f"expected aliases that rename or mirror, found {', '.join(sorted(unknown))} in {name} of {self._package}; "
                    "the package is not the pinned one"
                )
            mirrored ^= alias.get("hFlip", False)
            name = alias["parent"]
        return ({**self._canvas, **self._icons[name]} if name in self._icons else None), mirrored
