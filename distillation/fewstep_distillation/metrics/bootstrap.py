"""Confidence intervals of means by the percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3).

What was measured of N pictures is drawn again N at a time, with replacement; the middle 95 % of the means of such samples is the interval. It
tells what another set of prompts and seeds of the same kind would have given, not whether the judge is right.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
_SAMPLES = 1000

Interval = tuple[float, float]
"""Lower and upper end."""


def mean_interval(values: ArrayLike, seed: int = 0) -> Interval:
    """The interval of the mean of values (N,), N >= 1; the same values and seed give the same interval."""
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [float(array[rng.integers(0, len(array), len(array))].mean()) for _ in range(_SAMPLES)]
    return middle(means)


def middle(estimates: Sequence[float]) -> Interval:
    """Between which the middle 95 % of the estimates (S,) of the samples lie."""
    low, high = np.quantile(estimates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
