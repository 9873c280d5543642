"""A histogram that takes any number of values in the same memory."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError

BINS = 8192
MASKED = -1e4
"""At or below stand scores that a mask has taken out: no 8 bits can hold them beside real values."""


@dataclass
class Histogram:
    """Counts over [-reach, reach], where `reach` is a power of two that doubles when a larger value comes.

    Two neighbours then become one bin, so the counts do not depend on the order in which the values came.

    Args:
        name: of the tensor, for errors.
    """

    name: str
    reach: float = 0.0
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, dtype=np.int64))
    low: float = 0.0
    high: float = 0.0
    peaks: npt.NDArray[np.float32] | None = None
    """The largest absolute value of every channel (last axis)."""

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Counts the values.

        Raises:
            FewstepError: one of them is NaN or infinite.
        """
        if not np.isfinite(values).all():
            raise FewstepError(
                f"expected finite activations, found NaN or infinity, in tensor '{self.name}' during calibration; "
                "take other prompts, or a smaller guidance scale"
            )
        peaks = np.abs(values).reshape(-1, values.shape[-1] if values.ndim else 1).max(axis=0, initial=0.0)
        self.peaks = peaks if self.peaks is None else np.maximum(self.peaks, peaks)
        values = values[values > MASKED]
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._grow(max(-low, high))
        if self.reach:
            found, _ = np.histogram(values, bins=BINS, range=(-self.reach, self.reach))
            self.counts += found

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """The middle of every bin."""
        middles = np.arange(BINS, dtype=np.float64) + 0.5
        return np.asarray(middles * (2 * self.reach / BINS) - self.reach, dtype=np.float64)

    @property
    def rms(self) -> float:
        """The root of the mean square of what was counted; 0 for nothing."""
        total = int(self.counts.sum())
        return float(np.sqrt((self.counts * self.centres**2).sum() / total)) if total else 0.0

    def _grow(self, largest: float) -> None:
        if not self.reach and largest > 0:
            self.reach = 2.0 ** np.ceil(np.log2(largest))
        while self.reach < largest:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, dtype=np.int64)
            self.counts[BINS // 4 : 3 * BINS // 4] = pairs
            self.reach *= 2
