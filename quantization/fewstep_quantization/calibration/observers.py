"""Observers: from what was counted to the range that 8 bits cover.

`min_max` clips nothing, `percentile` a fixed part of the tails, `mse` as much as makes the mean square error smallest, and
`entropy` as much as loses the least information (Kullback-Leibler divergence; S. Migacz, "8-bit inference with TensorRT", GTC 2017).
"""

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep_quantization.affine import LEVELS_U8, Range
from fewstep_quantization.calibration.histogram import Histogram

Observer = Literal["min-max", "percentile", "mse", "entropy"]
Floats = npt.NDArray[np.float64]

_TAIL = 1e-5
_SHRINK = np.linspace(1.0, 0.3, 29)


def choose_range(histogram: Histogram, observer: Observer) -> Range:
    """The range for a tensor.

    Raises:
        FewstepError: nothing was counted, or there is no such observer.
    """
    if observer not in get_args(Observer):
        raise FewstepError(
            f"expected one of the observers {', '.join(get_args(Observer))}, found '{observer}'; choose one"
        )
    if not histogram.counts.any() and not histogram.reach:
        return Range(0.0, 0.0)
    rules: dict[Observer, Callable[[Histogram], Range]] = {
        "min-max": min_max,
        "percentile": percentile,
        "mse": mse,
        "entropy": entropy,
    }
    return rules[observer](histogram)


def rounding_noise(histogram: Histogram, covered: Range) -> float:
    """What rounding to 8 bits costs a tensor, relative to its own size: s / sqrt(12) over its root mean square; 0 for an empty one."""
    scale, _ = covered.u8()
    return float(scale) / sqrt(12) / histogram.rms if histogram.rms else 0.0


def min_max(histogram: Histogram) -> Range:
    """Everything that was seen."""
    return Range(histogram.low, histogram.high)


def percentile(histogram: Histogram, tail: float = _TAIL) -> Range:
    """Everything but so large a part of the values at either end."""
    below = np.cumsum(histogram.counts) / histogram.counts.sum()
    centres = histogram.centres
    first, last = int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail))
    low, high = float(centres[first]), float(centres[min(last, len(centres) - 1)])
    return Range(max(low, histogram.low), min(high, histogram.high))


def mse(histogram: Histogram) -> Range:
    """The range of the smallest mean square error, rounding and clipping together."""
    centres, weights = _occupied(histogram)

    def error(covered: Range) -> float:
        rounded = covered.round(centres.astype(np.float32))
        return float((weights * (rounded - centres) ** 2).sum())

    return min(_candidates(histogram), key=error)


def entropy(histogram: Histogram) -> Range:
    """The range whose 8 bits tell the most of the distribution."""
    centres, weights = _occupied(histogram)
    return min(_candidates(histogram), key=lambda covered: _divergence(centres, weights, covered))


def _candidates(histogram: Histogram) -> Iterator[Range]:
    """Ranges that clip either end by up to 70 %."""
    for low in _SHRINK if histogram.low < 0 else (1.0,):
        for high in _SHRINK if histogram.high > 0 else (1.0,):
            yield Range(histogram.low * low, histogram.high * high)


def _occupied(histogram: Histogram) -> tuple[Floats, Floats]:
    """Centres and relative weights of the bins that hold something."""
    inside = histogram.counts > 0
    return histogram.centres[inside], histogram.counts[inside] / histogram.counts.sum()


def _divergence(centres: Floats, weights: Floats, covered: Range) -> float:
    """KL(p || q): p is clipped to the range, q spreads each level's weight evenly over the bins that it stands for."""
    scale, zero = covered.u8()
    levels = np.clip(np.rint(centres / scale) + float(zero), 0, LEVELS_U8).astype(np.int64)
    bins = np.bincount(levels, minlength=LEVELS_U8 + 1)
    inside = (centres >= covered.low) & (centres <= covered.high)
    kept = np.bincount(levels, weights * inside, minlength=LEVELS_U8 + 1)
    spread = np.maximum((kept / np.maximum(bins, 1))[levels], 1e-12)
    return float((weights * np.log(weights / spread)).sum())
