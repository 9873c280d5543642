"""Latency of a repeated call: the first one, and the order statistics of the timed ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class Latency:
    """Seconds: of the first call, median and 90th percentile of the timed calls, and every timed call in order."""

    first: float
    median: float
    p90: float
    samples: tuple[float, ...]

    @classmethod
    def of(cls, first: float, samples: Sequence[float]) -> "Latency":
        """The latency of a call that took `first` seconds at first and `samples` later."""
        return cls(first, quantile(samples, 0.5), quantile(samples, 0.9), tuple(samples))


def quantile(samples: Sequence[float], q: float) -> float:
    """The q-quantile by linear interpolation at position q (n - 1) of the sorted samples.

    This is definition 7 of Hyndman and Fan, "Sample quantiles in statistical packages" (1996), numpy's default.

    Raises:
        FewstepError: there is no sample, or q is outside 0 to 1.
    """
    if not samples or not 0 <= q <= 1:
        raise FewstepError(f"expected samples and 0 <= q <= 1, found {len(samples)} samples and q = {q}")
    ordered = sorted(samples)
    position = q * (len(ordered) - 1)
    low = floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])
