"""Frechet distance of two sets of features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

with mean m and covariance C of each set, seen as Gaussians. With any factor C = A^T A the trace of the root
is the sum of the singular values of A_1 A_2^T (the eigenvalues of C_1 C_2 are their squares), so

    d^2 = |m_1 - m_2|^2 + |A_1|_F^2 + |A_2|_F^2 - 2 |A_1 A_2^T|_*

and no root of an unsymmetric, often singular matrix is taken, which is what makes other implementations
unstable. The estimate is biased upwards by few samples: compare at one N alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewstep.errors import FewstepError
from fewstep_distillation.metrics.cache import Array


@dataclass(frozen=True)
class Gaussian:
    """Mean m (d,) and a factor A (r, d) of the covariance A^T A, float64."""

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def of(cls, features: Array) -> "Gaussian":
        """Mean and unbiased covariance of features (N, d), with a factor of min(N, d) rows.

        Raises:
            FewstepError: fewer than 2 features.
        """
        if len(features) < 2:
            raise FewstepError(
                f"expected at least 2 pictures for a covariance, found {len(features)}; raise --n"
            )
        x = features.astype(np.float64)
        mean = x.mean(0)
        factor = (x - mean) / np.sqrt(len(x) - 1)
        return cls(mean, _square_factor(factor.T @ factor) if len(x) > x.shape[1] else factor)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """d^2 of two Gaussians of one dimension."""
    means = np.square(first.mean - second.mean).sum()
    traces = np.square(first.factor).sum() + np.square(second.factor).sum()
    return float(means + traces - 2 * np.linalg.svdvals(first.factor @ second.factor.T).sum())


def _square_factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """A (d, d) with A^T A = covariance, from its eigenvalues; rounding leaves those that should be 0 a little below."""
    values, vectors = np.linalg.eigh(covariance)
    factor: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))).T
    return factor
