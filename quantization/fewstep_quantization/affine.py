"""Affine quantisation: q = clip(round(x / scale) + zero), x = (q - zero) scale."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
LEVELS_U8 = 255
_SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class Range:
    """The values that a tensor's 8 bits cover; 0 is always among them, since padding and masks must stay exact."""

    low: float
    high: float

    def u8(self) -> tuple[np.float32, np.uint8]:
        """Scale and zero point of unsigned 8 bits."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = np.float32(max((high - low) / LEVELS_U8, _SMALLEST_SCALE))
        return scale, np.uint8(np.clip(np.rint(-low / scale), 0, LEVELS_U8))

    def round(self, values: FloatArray) -> FloatArray:
        """The values after quantisation and back."""
        scale, zero = self.u8()
        quantised = np.clip(np.rint(values / scale) + np.float32(zero), 0, LEVELS_U8)
        return np.asarray((quantised - np.float32(zero)) * scale, dtype=np.float32)


def least_step(weights: FloatArray, noise: float) -> float:
    """The step whose rounding errors, uniform and so a twelfth of its square, are this part of the weights' size (root mean square)."""
    return noise * float(np.sqrt(12 * np.mean(np.square(weights, dtype=np.float64))))


def quantise_weights(
    weights: FloatArray, bits: int = 8, axis: int = 0, noise: float = 0.0
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Symmetric signed weights, one scale an output: (q int8 of the same shape, scales float32 without `axis`).

    Args:
        weights: float32, (K, N) for a linear layer.
        bits: 8 uses -127 ... 127.
        axis: the axis (or its first part) that one scale covers.
        noise: steps are no finer than this rounding error asks for, relative to the size of all weights: fewer levels, which compress
            better.
    """
    levels = 2 ** (bits - 1) - 1
    smallest = max(least_step(weights, noise), _SMALLEST_SCALE)
    scales = np.maximum(np.abs(weights).max(axis=axis) / levels, smallest).astype(np.float32)
    quantised = np.rint(weights / np.expand_dims(scales, axis))
    return np.clip(quantised, -levels, levels).astype(np.int8), scales
