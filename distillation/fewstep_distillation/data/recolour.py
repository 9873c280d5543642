"""Recolour a glyph of one dominant hue, so that its caption can name the new colour ("blue cat").

The hue of saturated pixels is turned; white, grey and black stay. Colour names are those of hue bands that people agree on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Colour:
    """Hue in degrees, saturation and value in [0, 1] (HSV)."""

    hue: float
    saturation: float
    value: float


# Colour names: the hue to turn to, and the least saturation and value at which people still use the name. Darker yellow is olive,
# darker orange brown, paler red pink.
COLOURS = {
    "red": Colour(2, 0.6, 0.5),
    "orange": Colour(28, 0.6, 0.8),
    "yellow": Colour(50, 0.45, 0.75),
    "green": Colour(120, 0.35, 0.35),
    "turquoise": Colour(176, 0.35, 0.5),
    "blue": Colour(218, 0.4, 0.4),
    "purple": Colour(275, 0.35, 0.4),
    "pink": Colour(325, 0.35, 0.65),
}
_COLOUR_WORDS = frozenset(COLOURS) | {
    "black",
    "white",
    "brown",
    "grey",
    "gray",
    "golden",
    "rainbow",
    "light",
    "dark",
}
_BAND = 35.0  # half width of what still counts as one hue
_SATURATED = 0.25  # pixels below are grey and keep their colour
_DOMINANT = 0.8  # share of the saturated pixels that the dominant hue must have
_COVER = 0.35  # share of the visible pixels that must be saturated


def recolourable(name: str, group: str) -> bool:
    """Whether a new colour can be named: no colour is in the name already, and nobody's skin is turned blue."""
    return group != "people & body" and not _COLOUR_WORDS & set(name.lower().replace("-", " ").split())


def recolour(rgba: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], str] | None:
    """The picture (H, W, 4) in another colour and its name; None where there is no single dominant hue."""
    dominant = dominant_colour(rgba[::3, ::3])  # a ninth of the pixels is enough for a mean
    if dominant is None:
        return None
    names = [name for name, colour in COLOURS.items() if _suits(colour, dominant)]
    if not names:
        return None
    name = str(rng.choice(names))
    return turn_hue(rgba, COLOURS[name].hue - dominant.hue), name


def dominant_colour(rgba: NDArray[np.uint8]) -> Colour | None:
    """Mean colour of the saturated pixels, its hue on the circle; None unless most of them lie within a band around that hue."""
    hue, saturation, value = _to_hsv(_unit(rgba))
    visible = rgba[..., 3] > 127
    saturated = visible & (saturation > _SATURATED) & (value > 0.2)
    if visible.sum() == 0 or saturated.sum() < _COVER * visible.sum():
        return None
    angles = np.deg2rad(hue[saturated])
    mean = float(np.rad2deg(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360)
    inside = np.abs(_difference(hue[saturated], mean)) < _BAND
    if inside.mean() < _DOMINANT:
        return None
    return Colour(mean, float(saturation[saturated].mean()), float(value[saturated].mean()))


def _suits(name: Colour, dominant: Colour) -> bool:
    """Whether a picture of this dominant colour would take the name once its hue is turned, and does not have it now."""
    far = bool(abs(_difference(name.hue, dominant.hue)) > _BAND)
    return far and dominant.saturation >= name.saturation and dominant.value >= name.value


def turn_hue(rgba: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """The hue of every pixel turned by ``degrees``; alpha, saturation and value stay."""
    hue, saturation, value = _to_hsv(_unit(rgba))
    out = rgba.copy()
    out[..., :3] = np.round(_to_rgb((hue + degrees) % 360, saturation, value) * 255).astype(np.uint8)
    return out


def _unit(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colours (..., 3) in [0, 1]."""
    return np.asarray(rgba[..., :3] / np.float32(255), dtype=np.float32)


def _difference(a: NDArray[np.float32] | float, b: float) -> NDArray[np.float32]:
    return np.asarray((np.asarray(a) - b + 180) % 360 - 180, dtype=np.float32)


def _to_hsv(rgb: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """(..., 3) in [0, 1] -> hue in degrees, saturation, value (Smith 1978)."""
    value, low = rgb.max(-1), rgb.min(-1)
    chroma = value - low
    safe = np.where(chroma > 0, chroma, 1)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    sector = np.select(
        [value == r, value == g], [((g - b) / safe) % 6, (b - r) / safe + 2], (r - g) / safe + 4
    )
    return (
        (60 * sector).astype(np.float32),
        np.where(value > 0, chroma / np.where(value > 0, value, 1), 0),
        value,
    )


def _to_rgb(
    hue: NDArray[np.float32], saturation: NDArray[np.float32], value: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Inverse of ``_to_hsv``: ``f(n) = v - v s max(0, min(k, 4 - k, 1))``, ``k = (n + h / 60) mod 6``, n = 5, 3, 1."""
    k = (np.array([5, 3, 1], dtype=np.float32) + hue[..., None] / 60) % 6
    ramp = np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.asarray(value[..., None] * (1 - saturation[..., None] * ramp), dtype=np.float32)
