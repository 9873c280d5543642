import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import FewstepError
from fewstep_quantization.calibration.histogram import BINS, Histogram

VALUES = np.random.default_rng(0).standard_normal(3000).astype(np.float32)


@given(st.permutations(range(4)))
def test_the_order_of_the_values_does_not_matter(order: list[int]) -> None:
    parts = [VALUES[:12, None] * 0.01, VALUES[12:500, None], VALUES[500:600, None] * 50, VALUES[600:, None]]
    histogram = Histogram("x")
    for k in order:
        histogram.add(parts[k])
    expected = Histogram("x")
    expected.add(np.concatenate(parts))
    assert histogram.reach == expected.reach
    np.testing.assert_array_equal(histogram.counts, expected.counts)
    assert (histogram.low, histogram.high) == (expected.low, expected.high)


def test_its_memory_does_not_grow() -> None:
    histogram = Histogram("x")
    for k in range(20):
        histogram.add(VALUES * np.float32(2.0 ** (k - 10)))
    assert histogram.counts.shape == (BINS,)
    assert histogram.counts.sum() == 20 * VALUES.size


def test_masked_scores_are_not_counted() -> None:
    histogram = Histogram("x")
    histogram.add(np.array([1.0, -1e4, -1e30], dtype=np.float32))
    assert (histogram.low, histogram.high) == (0.0, 1.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(wrong: float) -> None:
    with pytest.raises(FewstepError, match=r"tensor 'denoiser\.x' during calibration"):
        Histogram("denoiser.x").add(np.array([1.0, wrong], dtype=np.float32))
