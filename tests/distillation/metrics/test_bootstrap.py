"""Intervals of means: as wide as theory says, and as often right."""

import math

import numpy as np
import pytest

from fewstep_distillation.metrics.bootstrap import mean_interval


def test_a_share_has_the_width_of_the_normal_approximation() -> None:
    hits = np.arange(2000) % 4 == 0
    low, high = mean_interval(hits)
    half = 1.96 * math.sqrt(0.25 * 0.75 / 2000)
    assert [0.25 - low, high - 0.25] == pytest.approx([half, half], rel=0.1)


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(200, 100))
    covered = sum(low <= 1.0 <= high for low, high in map(mean_interval, samples))
    assert 176 <= covered <= 200  # 200 x 0.95 with four standard deviations


def test_the_same_values_give_the_same_interval_and_equal_ones_no_width() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval([2.0, 2.0]) == (2.0, 2.0)
