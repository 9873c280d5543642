"""Pictures: un-premultiplied alpha, rounding, PNG, contact sheets."""

import io

import numpy as np
import pytest
from PIL import Image

from fewstep.image import contact_sheet, png_bytes, to_pil


def pixel(*values: float) -> tuple[int, ...]:
    """One premultiplied RGBA pixel through to_pil."""
    found = to_pil(np.array(values, dtype=np.float32).reshape(4, 1, 1)).getpixel((0, 0))
    assert isinstance(found, tuple)
    return tuple(int(v) for v in found)


@pytest.mark.parametrize(
    ("premultiplied", "straight"),
    [
        ((0.25, 0.125, 0.5, 0.5), (128, 64, 255, 128)),
        ((1.0, 0.0, 0.5, 1.0), (255, 0, 128, 255)),
        ((0.3, 0.2, 0.1, 0.0), (0, 0, 0, 0)),
        ((0.9, -0.5, 0.25, 0.5), (255, 0, 128, 128)),
        ((2.0, 2.0, 2.0, 2.0), (255, 255, 255, 255)),
    ],
)
def test_alpha_is_divided_out(premultiplied: tuple[float, ...], straight: tuple[int, ...]) -> None:
    assert pixel(*premultiplied) == straight


def test_every_eight_bit_colour_survives() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(64, 64, 4), dtype=np.uint8)
    pixels[..., 3] = np.maximum(pixels[..., 3], 1)
    straight = pixels.astype(np.float32) / 255
    image = np.concatenate([straight[..., :3] * straight[..., 3:], straight[..., 3:]], axis=-1).transpose(
        2, 0, 1
    )
    np.testing.assert_array_equal(np.asarray(to_pil(image)), pixels)


def test_png_keeps_every_pixel() -> None:
    picture = to_pil(np.random.default_rng(0).random((4, 5, 7), dtype=np.float32))
    with Image.open(io.BytesIO(png_bytes(picture))) as back:
        assert back.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(back), np.asarray(picture))


def test_a_sheet_holds_every_picture_and_its_caption() -> None:
    colours = [(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)]
    pictures = [Image.new("RGBA", (32, 32), colour) for colour in colours]
    captioned = contact_sheet(pictures, ["one", "two", "a long caption of many many words"], columns=2)
    assert captioned.size == (2 * 48, 2 * 76)
    found = {captioned.getpixel((x + 24, y + 24)) for x in (0, 48) for y in (0, 76)}
    assert found == {*colours, (255, 255, 255, 255)}
    bare = contact_sheet(pictures, ["", "", ""], columns=2)
    changed = np.abs(np.asarray(captioned, dtype=int) - np.asarray(bare, dtype=int)).any(axis=-1)
    assert [bool(changed[40:76, :48].any()), bool(changed[40:76, 48:].any())] == [True, True]
    assert not changed[8:40].any()
