"""A recoloured picture has the colour that its caption names."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.data.recolour import (
    COLOURS,
    dominant_colour,
    recolour,
    recolourable,
    turn_hue,
)

from .conftest import SLICE

RED, GREEN, WHITE = (220, 20, 30, 255), (20, 200, 40, 255), (255, 255, 255, 255)


def halves(left: tuple[int, ...], right: tuple[int, ...]) -> NDArray[np.uint8]:
    """A picture (32, 32, 4) of two colours inside a transparent frame."""
    picture = np.zeros((32, 32, 4), dtype=np.uint8)
    picture[4:28, 4:16], picture[4:28, 16:28] = left, right
    return picture


def names_given(picture: NDArray[np.uint8]) -> set[str]:
    """All colour names that the picture is ever given."""
    results = [recolour(picture, np.random.default_rng(seed)) for seed in range(60)]
    return {result[1] for result in results if result is not None}


def test_the_new_colour_is_the_named_one() -> None:
    seen = set()
    for seed in range(40):
        result = recolour(halves(RED, WHITE), np.random.default_rng(seed))
        assert result is not None
        picture, name = result
        seen.add(name)
        hue, _, _ = colorsys.rgb_to_hsv(*(picture[16, 8, :3] / 255))
        assert hue * 360 == pytest.approx(COLOURS[name].hue, abs=1.5)
        np.testing.assert_array_equal(picture[16, 20], WHITE)
        np.testing.assert_array_equal(picture[..., 3], halves(RED, WHITE)[..., 3])
    assert seen == COLOURS.keys() - {"red", "orange", "pink"}  # the last two are too near to be news


def test_a_name_is_given_only_where_people_would_use_it() -> None:
    assert {"yellow", "orange"} <= names_given(halves((30, 60, 240, 255), WHITE))
    dark = names_given(halves((15, 30, 110, 255), WHITE))  # yellow would be olive, orange brown
    assert dark == {"green", "purple"} or dark == {"green"}
    pale = names_given(halves((170, 200, 255, 255), WHITE))  # red would be pink
    assert "red" not in pale


@pytest.mark.parametrize(
    "picture",
    [
        halves(RED, GREEN),
        halves(WHITE, (90, 90, 90, 255)),
        halves((40, 10, 10, 255), (40, 10, 10, 255)),
        halves((255, 0, 0, 60), (255, 0, 0, 60)),
        np.zeros((32, 32, 4), dtype=np.uint8),
    ],
    ids=["two hues", "grey", "nearly black", "nearly transparent", "empty"],
)
def test_without_one_dominant_colour_nothing_is_named(picture: NDArray[np.uint8]) -> None:
    assert dominant_colour(picture) is None
    assert recolour(picture, np.random.default_rng(0)) is None


def test_hues_on_both_sides_of_zero_are_one_hue() -> None:
    colour = dominant_colour(halves((220, 20, 50, 255), (220, 50, 20, 255)))
    assert colour is not None
    assert min(colour.hue, 360 - colour.hue) < 1


@given(st.integers(0, 2**32 - 1), st.floats(-720, 720))
def test_turning_back_gives_the_picture(seed: int, degrees: float) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    there = turn_hue(picture, degrees)
    back = turn_hue(there, -degrees)
    chroma = np.ptp(picture[..., :3].astype(int), axis=-1)
    error = np.abs(back[..., :3].astype(int) - picture[..., :3]).max(-1)
    assert (error <= 2)[chroma > 0].all() and (error == 0)[chroma == 0].all()
    np.testing.assert_array_equal(there[..., :3].max(-1), picture[..., :3].max(-1))
    np.testing.assert_array_equal(there[..., 3], picture[..., 3])


def test_a_third_of_a_turn_moves_the_channels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    np.testing.assert_array_equal(turn_hue(picture, 120), picture[..., [2, 0, 1, 3]])


def test_names_with_a_colour_and_people_keep_theirs() -> None:
    assert recolourable("cat face", "animals & nature")
    assert not recolourable("green book", "objects")
    assert not recolourable("Orange-and-white thing", "symbols")
    assert not recolourable("eye", "people & body")


def test_real_pictures_take_colours() -> None:
    dataset = EmojiDataset(Path(SLICE))
    hearts = [i for i, row in enumerate(dataset.rows) if row.name == "broken heart"]
    results = [recolour(picture, np.random.default_rng(0)) for picture in dataset.images(hearts)]
    named = [result for result in results if result is not None]
    assert len(named) >= 7
    for picture, name in named:
        colour = dominant_colour(picture)
        assert colour is not None
        assert abs((colour.hue - COLOURS[name].hue + 180) % 360 - 180) < 10
