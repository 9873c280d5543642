import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_quantization.affine import Range
from fewstep_quantization.calibration.histogram import Histogram
from fewstep_quantization.calibration.observers import Observer, choose_range

NORMAL = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
OUTLIER = np.append(NORMAL, np.float32(200.0))


def observed(values: np.ndarray, observer: Observer) -> Range:
    histogram = Histogram("x")
    histogram.add(values)
    return choose_range(histogram, observer)


def error(values: np.ndarray, covered: Range) -> float:
    return float(np.square(covered.round(values) - values).mean())


def test_min_max_covers_everything() -> None:
    covered = observed(OUTLIER, "min-max")
    assert (covered.low, covered.high) == (float(NORMAL.min()), 200.0)


def test_percentile_leaves_the_outlier_out() -> None:
    assert observed(OUTLIER, "percentile").high < 10


def test_no_other_symmetric_cut_beats_mse() -> None:
    heavy = (NORMAL**3).astype(np.float32)
    best = error(heavy, observed(heavy, "mse"))
    low, high = float(heavy.min()), float(heavy.max())
    others = [error(heavy, Range(low * cut, high * cut)) for cut in np.linspace(0.3, 1.0, 15)]
    assert best < error(heavy, observed(heavy, "min-max"))
    assert best <= min(others) * 1.02


def test_entropy_cuts_a_heavy_tail_and_spares_a_flat_distribution() -> None:
    heavy = (NORMAL**3).astype(np.float32)
    assert observed(heavy, "entropy").high < 0.9 * heavy.max()
    flat = np.linspace(-1, 1, 100_000, dtype=np.float32)
    assert observed(flat, "entropy").high > 0.95


def test_zero_is_exact_in_every_range() -> None:
    for covered in (Range(0.5, 3.0), Range(-7.0, -1.0), Range(-1.3, 2.9), Range(0.0, 0.0)):
        assert covered.round(np.zeros(1, dtype=np.float32))[0] == 0.0


def test_an_unknown_observer_is_named() -> None:
    with pytest.raises(FewstepError, match="found 'median'"):
        choose_range(Histogram("x"), "median")  # type: ignore[arg-type]
