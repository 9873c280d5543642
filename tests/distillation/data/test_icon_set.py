"""Iconify's JSON to SVG: aliases, mirrors and canvases that are not square."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fewstep.errors import FewstepError
from fewstep_distillation.data.emoji_config import Sources
from fewstep_distillation.data.icon_set import IconSet
from fewstep_distillation.data.packages import Package, integrity
from fewstep_distillation.data.raster import Drawing, rasterise

from .conftest import pack

SQUARE = '<path fill="#f00" d="M1 1h2v2h-2z"/>'  # on a canvas of 8 x 4


def draw(icons: IconSet, name: str) -> NDArray[np.uint8]:
    svg = icons.svg(name)
    assert svg is not None
    return rasterise(Drawing("svg", svg.encode()), 64)


@pytest.fixture
def made(tmp_path: Path) -> IconSet:
    """An icon on a wide canvas that starts at (10, 20), a name and two mirrors of it, and an alias that turns."""
    icon = {"body": SQUARE.replace("M1 1", "M11 21"), "left": 10, "top": 20, "width": 8, "height": 4}
    aliases = {
        "same": {"parent": "icon"},
        "mirror": {"parent": "same", "hFlip": True},
        "twice": {"parent": "mirror", "hFlip": True},
        "turned": {"parent": "icon", "rotate": 1},
    }
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "icons.json").write_text(json.dumps({"icons": {"icon": icon}, "aliases": aliases}))
    (folder / "chars.json").write_text("{}")
    package = Package("made", "1.0.0", "")
    pack(folder, tmp_path / package.tarball)
    return IconSet(dataclasses.replace(package, integrity=integrity(tmp_path / package.tarball)), tmp_path)


def test_a_wide_icon_is_centred_on_a_square(made: IconSet) -> None:
    expected = np.zeros((64, 64), dtype=np.uint8)
    expected[24:40, 8:24] = 255  # 8 pixels a unit; 2 units above and below the canvas
    np.testing.assert_array_equal(draw(made, "icon")[..., 3], expected)


def test_aliases_rename_and_mirror(made: IconSet) -> None:
    icon = draw(made, "icon")
    np.testing.assert_array_equal(draw(made, "same"), icon)
    np.testing.assert_array_equal(draw(made, "mirror"), icon[:, ::-1])
    np.testing.assert_array_equal(draw(made, "twice"), icon)
    assert made.svg("unknown") is None


def test_what_is_not_drawn_right_is_refused(made: IconSet) -> None:
    with pytest.raises(
        FewstepError, match=r"expected aliases that rename or mirror, found rotate in turned of made@1\.0\.0"
    ):
        made.svg("turned")


def test_the_hand_that_points_right_is_the_left_one_mirrored(sources: Sources, cache: Path) -> None:
    icons = IconSet(sources.style("fluent-flat").package, cache)
    left, right = (draw(icons, f"backhand-index-pointing-{side}").astype(int) for side in ("left", "right"))
    assert np.abs(right[:, ::-1] - left).mean() < 1
    tip = np.flatnonzero(right[..., 3].any(0)).max()
    assert 0 < np.count_nonzero(right[:, tip, 3]) < 16  # a finger's width
