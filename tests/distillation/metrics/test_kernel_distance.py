import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.metrics.kernel_distance import kernel_distance, squared_mmd


def normal(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 16)) + shift).astype(np.float32)


def test_is_the_sum_over_pairs_of_the_paper() -> None:
    x, y = normal(0, 5).astype(np.float64), normal(1, 5).astype(np.float64)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 16 + 1) ** 3)

    within = sum(k(z[i], z[j]) for z in (x, y) for i in range(5) for j in range(5) if i != j) / 20
    across = sum(k(a, b) for a in x for b in y) / 25
    assert squared_mmd(x, y) == pytest.approx(within - 2 * across, rel=1e-12)


def test_has_mean_zero_on_one_distribution() -> None:
    """Unbiased: over independent sets the mean is 0 within its standard error."""
    estimates = [
        squared_mmd(normal(2 * i, 50).astype(np.float64), normal(2 * i + 1, 50).astype(np.float64))
        for i in range(200)
    ]
    assert abs(np.mean(estimates)) < 3 * np.std(estimates) / np.sqrt(len(estimates))
    assert min(estimates) < 0


def test_sees_a_shift_and_more_of_it() -> None:
    reference = normal(0, 300)
    near, far = (kernel_distance(normal(1, 300, shift), reference, subset_size=200) for shift in (0.1, 0.3))
    same = kernel_distance(normal(1, 300), reference, subset_size=200)
    assert same.mean + 3 * same.std < near.mean < far.mean


def test_fixed_seed_and_subsets_no_larger_than_the_smaller_set() -> None:
    first = kernel_distance(normal(0, 40), normal(1, 300), subsets=5)
    assert first == kernel_distance(normal(0, 40), normal(1, 300), subsets=5)
    assert (first.subsets, first.subset_size) == (5, 40)


def test_one_picture_is_too_few() -> None:
    with pytest.raises(FewstepError, match="at least 2 pictures"):
        kernel_distance(normal(0, 1), normal(1, 9))
