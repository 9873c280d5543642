"""Drawings to pixels and back."""

import io

import numpy as np
import pytest
from PIL import Image

from fewstep_distillation.data.raster import Drawing, encode, rasterise


def svg(body: str) -> Drawing:
    return Drawing("svg", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">{body}</svg>'.encode())


def webp(width: int, height: int, colour: tuple[int, int, int, int]) -> Drawing:
    stream = io.BytesIO()
    Image.new("RGBA", (width, height), colour).save(stream, "WEBP", lossless=True, exact=True)
    return Drawing("webp", stream.getvalue())


@pytest.mark.parametrize("size", [32, 128])
def test_a_disc_has_its_area(size: int) -> None:
    rgba = rasterise(svg('<circle cx="4" cy="4" r="3" fill="#08f"/>'), size)
    assert rgba.shape == (size, size, 4) and rgba.dtype == np.uint8
    area = rgba[..., 3].sum() / 255 * (8 / size) ** 2
    assert area == pytest.approx(np.pi * 9, rel=0.01)
    np.testing.assert_array_equal(rgba[size // 2, size // 2], [0, 0x88, 255, 255])


def test_alpha_is_straight_and_colour_is_zero_where_nothing_is() -> None:
    rgba = rasterise(svg('<path d="M0 0h4v8h-4z" fill="#fff" opacity=".5"/>'), 16)
    np.testing.assert_array_equal(rgba[0, 0, :3], 255)
    assert abs(int(rgba[0, 0, 3]) - 128) <= 1
    assert not rgba[:, 8:].any()


def test_a_wide_bitmap_is_centred() -> None:
    alpha = rasterise(webp(64, 32, (255, 0, 0, 255)), 64)[..., 3]
    assert (alpha[16:48] == 255).all() and not alpha[:16].any() and not alpha[48:].any()


def test_webp_is_lossless_and_always_the_same() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)  # colour under alpha 0 too
    data = encode(rgba)
    assert data == encode(rgba.copy())
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")), rgba)


@pytest.mark.parametrize(
    "drawing",
    [svg(""), svg('<path d="M0 0h.5v.5h-.5z"/>'), Drawing("svg", b"<svg"), Drawing("webp", b"RIFF")],
    ids=["empty", "a speck", "broken svg", "broken webp"],
)
def test_what_shows_nothing_is_an_error(drawing: Drawing) -> None:
    with pytest.raises((ValueError, OSError)):
        rasterise(drawing, 64)
