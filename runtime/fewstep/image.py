"""Pictures from the decoder's output: 8-bit RGBA, PNG bytes, contact sheets."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fewstep.loop import Array

_MARGIN = 8
_LINE = 14  # height of a line of caption in pixels
_INK, _PAPER = (40, 40, 40, 255), (255, 255, 255, 255)


def to_pil(image: Array) -> Image.Image:
    """A picture of image (3, H, W) float32, RGB in [0, 1], or with straight alpha of (4, H, W), RGBA with premultiplied alpha.

    Values are rounded to the nearest of 256 levels. Colour c and alpha a become c / a; where a = 0 the colour is black.
    """
    if len(image) == 3:
        return _eight_bits(np.clip(image, 0.0, 1.0))
    alpha = np.clip(image[3:], 0.0, 1.0)
    premultiplied = np.clip(image[:3], 0.0, alpha)
    colour = np.divide(premultiplied, alpha, out=np.zeros_like(premultiplied), where=alpha > 0)
    return _eight_bits(np.concatenate([colour, alpha]))


def png_bytes(picture: Image.Image) -> bytes:
    """The picture as a PNG file; the same picture gives the same bytes."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """All pictures of one size on white paper, row by row, with a caption under each."""
    width, height = pictures[0].size
    cell_width, cell_height = width + 2 * _MARGIN, height + 2 * _MARGIN + 2 * _LINE
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGBA", (columns * cell_width, rows * cell_height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = i % columns * cell_width + _MARGIN, i // columns * cell_height + _MARGIN
        sheet.alpha_composite(picture.convert("RGBA"), (x, y))
        for line, text in enumerate(_wrap(caption, font, width)):
            draw.text((x, y + height + 2 + line * _LINE), text, fill=_INK, font=font)
    return sheet


def _eight_bits(image: Array) -> Image.Image:
    pixels = image * np.float32(255) + np.float32(0.5)
    return Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8).transpose(1, 2, 0)))


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """At most two lines of whole words that fit the width; what is left is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines[:2]
