"""Charts as XML: lengths in proportion, words escaped."""

from xml.etree import ElementTree

import pytest

from fewstep.bench.svg import Bar, bars, legend, stacked


def widths(svg: str) -> list[float]:
    return [float(rect.attrib["width"].rstrip("%")) for rect in ElementTree.fromstring(svg).iter("rect")]


def test_bars_share_one_scale_with_their_marks() -> None:
    svg = bars([Bar("a", 1.0, "1 ms", mark=4.0), Bar("b", 2.0, "2 ms")], "times")
    assert widths(svg) == [25.0, 50.0]
    (mark,) = ElementTree.fromstring(svg).iter("line")
    assert mark.attrib["x1"] == mark.attrib["x2"] == "99.500%"  # at the scale's end, kept inside the picture
    assert [text.text for text in ElementTree.fromstring(svg).iter("text")] == ["a", "1 ms", "b", "2 ms"]


def test_bars_of_zero_and_no_bars_are_drawn() -> None:
    assert widths(bars([Bar("a", 0.0, "0")], "t")) == [0.0]
    assert widths(bars([], "t")) == []


def test_stacked_parts_follow_one_another() -> None:
    svg = stacked({"a": {"x": 0.25, "y": 0.75}}, ["x", "y"], "shares")
    rects = list(ElementTree.fromstring(svg).iter("rect"))
    assert [rect.attrib["x"] for rect in rects] == ["0.000%", "25.000%"]
    assert sum(widths(svg)) == pytest.approx(100)
    assert [rect.attrib["class"] for rect in rects] == ["c0", "c1"]


def test_words_are_escaped() -> None:
    hostile = '<script>&"'
    for made in (
        bars([Bar(hostile, 1, hostile)], hostile),
        stacked({hostile: {}}, [], hostile),
        legend([hostile]),
    ):
        assert "<script" not in made
        ElementTree.fromstring(made)
