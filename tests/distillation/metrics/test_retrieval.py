import numpy as np
import pytest

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.retrieval import compose_retrieval, ranks, retrieval

SIMILARITY = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.6], [0.3, 0.3, 0.1]], np.float32)


def test_planted_ranks() -> None:
    right = np.array([0, 1, 0])
    # A tie counts against the right candidate, or a constant similarity would be perfect.
    assert ranks(SIMILARITY, right).tolist() == [1, 3, 2]
    figures = retrieval(SIMILARITY, right)
    assert (figures.queries, figures.candidates, figures.median_rank) == (3, 3, 2.0)
    assert figures.r1 == 1 / 3
    assert figures.r5 == 1
    assert figures.similarity == pytest.approx((0.9 + 0.4 + 0.3) / 3)


def test_shares_at_each_depth() -> None:
    similarity = -np.arange(20, dtype=np.float32)[None].repeat(4, axis=0)
    figures = retrieval(similarity, np.array([0, 4, 9, 19]))
    assert (figures.r1, figures.r5, figures.r10, figures.median_rank) == (0.25, 0.5, 0.75, 7.5)


def test_compose_finds_planted_pictures_among_those_of_their_style_alone(dataset: EmojiDataset) -> None:
    rng = np.random.default_rng(0)
    real = (
        rng.normal(size=(len(dataset), 64)).astype(np.float32) + 5
    )  # a large common part, as real features have
    hidden = np.array([0, 11, 22])
    planted = real[hidden] + rng.normal(size=(3, 64)).astype(np.float32) * 0.3
    figures = compose_retrieval(planted, hidden, dataset.rows, real)
    assert (figures.r1, figures.candidates, figures.queries) == (1.0, 10, 3)
    assert 0.8 < figures.similarity < 1
    others = np.array([1, 12, 23])
    assert compose_retrieval(real[others], hidden, dataset.rows, real).r1 == 0
    # The same glyph in another style is no rival.
    copies = real.copy()
    copies[20] = copies[0]
    assert compose_retrieval(copies[[0]], np.array([0]), dataset.rows, copies).r1 == 1
