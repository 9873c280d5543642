"""Kernel distance (KID) of two sets of features (Binkowski et al. 2018, arXiv:1801.01401).

The squared maximum mean discrepancy with k(x, y) = (x . y / d + 1)^3, estimated without bias:

    MMD^2 = 1/(m (m - 1)) sum_{i != j} k(x_i, x_j) + 1/(m (m - 1)) sum_{i != j} k(y_i, y_j) - 2/m^2 sum_{i, j} k(x_i, y_j)

on subsets of m features drawn without replacement, then the mean over subsets. Its mean is 0 for two sets of
one distribution at any N, so unlike the Frechet distance it may be compared across N; single estimates may
fall below 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewstep.errors import FewstepError
from fewstep_distillation.metrics.cache import Array


@dataclass(frozen=True)
class KernelDistance:
    """Mean of the subsets' MMD^2 and their standard deviation."""

    mean: float
    std: float
    subsets: int
    subset_size: int


def kernel_distance(
    first: Array, second: Array, subsets: int = 50, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """KID of features (N, d) and (M, d); the subsets are no larger than the smaller set.

    Raises:
        FewstepError: a set has fewer than 2 features.
    """
    size = min(subset_size, len(first), len(second))
    if size < 2:
        raise FewstepError(f"expected at least 2 pictures for a kernel distance, found {size}; raise --n")
    rng = np.random.default_rng(seed)
    x, y = first.astype(np.float64), second.astype(np.float64)
    estimates = [
        squared_mmd(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(estimates)), float(np.std(estimates)), subsets, size)


def squared_mmd(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The unbiased estimate for two sets (m, d) of one size."""
    m = len(x)
    within = sum(k.sum() - np.trace(k) for k in (_kernel(x, x), _kernel(y, y)))
    return float(within / (m * (m - 1)) - 2 * _kernel(x, y).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    inner = x @ y.T / x.shape[1] + 1
    return inner * inner * inner
