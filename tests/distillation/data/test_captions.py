"""Captions say what is in the row, as often as their weights promise."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fewstep_distillation.data.captions import (
    TEMPLATES,
    canonical_caption,
    captions,
    recolour_caption,
    sample_caption,
    words,
)
from fewstep_distillation.data.dataset import EmojiDataset, Row
from fewstep_distillation.data.styles import WORDS

from .conftest import SLICE


@pytest.fixture(scope="module")
def row() -> Row:
    """The balloon of the style 3d."""
    return next(r for r in EmojiDataset(SLICE).rows if r.name == "balloon" and r.style == "fluent-3d")


def test_weights_are_probabilities() -> None:
    assert sum(weight for weight, _ in TEMPLATES) == pytest.approx(1)


def test_the_canonical_caption_names_glyph_and_style(row: Row) -> None:
    assert canonical_caption(row) == "balloon, 3d style"
    assert canonical_caption(replace(row, name="Aries", style="noto")) == "aries, glossy style"


def _template(caption: str, row: Row) -> str:
    """The template that a caption was made from."""
    caption = re.sub("|".join(map(re.escape, sorted(row.keywords, key=len, reverse=True))), "{k}", caption)
    return re.sub(r"\b3d\b", "{style}", caption.replace("balloon", "{name}"))


def test_templates_come_as_often_as_their_weights_say(row: Row) -> None:
    rng, count = np.random.default_rng(0), 4000
    found = Counter(_template(sample_caption(row, rng), row) for _ in range(count))
    assert set(found) == {template for _, template in TEMPLATES}
    for weight, template in TEMPLATES:
        deviation = (count * weight * (1 - weight)) ** 0.5
        assert abs(found[template] - count * weight) < 4 * deviation


def test_keywords_of_a_caption_are_distinct(row: Row) -> None:
    rng = np.random.default_rng(1)
    for caption in (sample_caption(row, rng) for _ in range(500)):
        if caption.endswith(", 3d style") and caption != canonical_caption(row):
            keywords = caption.removesuffix(", 3d style").split(", ")
            assert len(set(keywords)) == 3 and set(keywords) <= set(row.keywords)


def test_a_glyph_with_few_keywords_still_has_captions(row: Row) -> None:
    rng = np.random.default_rng(2)
    poor = replace(row, keywords=("party",))
    assert all("{" not in caption and "balloon" in caption for caption in captions(poor, 50, 0))
    assert all("balloon" in sample_caption(poor, rng) for _ in range(50))


def test_a_list_of_captions_is_the_same_every_time(row: Row) -> None:
    first = captions(row, 6, seed=3)
    assert first == captions(row, 6, seed=3) and len(first) == 6
    assert first[0] == canonical_caption(row)
    assert first != captions(row, 6, seed=4)
    assert captions(row, 3, seed=3) == first[:3]


def test_a_new_colour_is_named_before_the_glyph(row: Row) -> None:
    rng = np.random.default_rng(5)
    found = {recolour_caption(row, "blue", rng) for _ in range(50)}
    assert found == {"blue balloon, 3d style", "3d emoji of blue balloon", "blue balloon"}
    assert {recolour_caption(replace(row, style=key), "blue", rng).split(" ")[0] for key in WORDS} <= {
        "blue",
        *WORDS.values(),
    }


def test_words_are_all_that_captions_are_made_of(row: Row) -> None:
    known = set(words([row]))
    for seed in range(20):
        for caption in captions(row, 20, seed):
            assert set(re.findall(r"\w+|[^\w\s]", caption)) <= known
    assert set(re.findall(r"\w+", recolour_caption(row, "purple", np.random.default_rng(0)))) <= known
