"""A drawing to pixels: a square RGBA picture, and its lossless WebP."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_VISIBLE = 10  # alpha above which a pixel counts as drawn
_LEAST_COVER = 0.01  # share of drawn pixels below which a picture is taken for empty


@dataclass(frozen=True)
class Drawing:
    """What a package holds for one glyph: the bytes of an SVG document or of a WebP picture."""

    kind: Literal["svg", "webp"]
    data: bytes


def rasterise(drawing: Drawing, size: int) -> NDArray[np.uint8]:
    """RGBA (size, size, 4) uint8, straight alpha, colour 0 where alpha is 0.

    Raises:
        ValueError: the drawing cannot be read, or comes out empty.
    """
    picture = _draw_svg(drawing.data, size) if drawing.kind == "svg" else _resize_bitmap(drawing.data, size)
    rgba = np.array(picture)
    if (rgba[..., 3] > _VISIBLE).mean() < _LEAST_COVER:
        raise ValueError("the picture is empty")
    rgba[rgba[..., 3] == 0] = 0
    return rgba


def encode(rgba: NDArray[np.uint8]) -> bytes:
    """Lossless WebP of RGBA (H, W, 4) uint8; the same bytes for the same picture and version of libwebp."""
    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, "WEBP", lossless=True, exact=True, method=4)
    return stream.getvalue()


def _draw_svg(data: bytes, size: int) -> Image.Image:
    import resvg_py  # a dependency of building alone: training reads the built set without it

    png = resvg_py.svg_to_bytes(svg_string=data.decode(), width=size, height=size)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _resize_bitmap(data: bytes, size: int) -> Image.Image:
    """Centred on a square, then resampled."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    side = max(picture.size)
    if picture.size != (side, side):
        square = Image.new("RGBA", (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        picture = square
    return picture.resize((size, size), Image.Resampling.LANCZOS)
