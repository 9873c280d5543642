"""Weights that a graph has in eight bits already."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Var

Constant = npt.NDArray[Any]


@dataclass(frozen=True)
class EightBits:
    """A constant (data - zero) * scale that stays in eight bits; it is emitted in the layout in which it is used.

    Attributes:
        data: int8 or uint8.
        scale, zero: scalars, or one value for each place along `axis`.
        axis: see there.
        blocks: whether the target has iOS 18's operator for it; else it gets the one of iOS 16.
    """

    data: Constant
    scale: Constant
    zero: Constant
    axis: int
    blocks: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the constant."""
        return self.data.shape

    def transposed(self) -> "EightBits":
        """The transpose of a matrix."""
        return replace(self, data=np.ascontiguousarray(self.data.T), axis=1 - self.axis)

    def values(self) -> Constant:
        """The constant in the type of its scale."""
        scale, zero = self._along(self.scale), self._along(self.zero)
        return (self.data.astype(scale.dtype) - zero.astype(scale.dtype)) * scale

    def emit(self, name: str) -> Var:
        """The operator that expands it when the program is loaded, or as it runs."""
        if self.blocks:
            offset = {"offset": self._along(self.zero)} if self.zero.any() else {}
            return mb.constexpr_blockwise_shift_scale(
                data=self.data, scale=self._along(self.scale), name=name, **offset
            )
        return mb.constexpr_affine_dequantize(
            quantized_data=self.data, zero_point=self.zero, scale=self.scale, axis=self.axis, name=name
        )

    def _along(self, parameter: Constant) -> Constant:
        """A parameter with as many axes as the data."""
        return parameter.reshape(
            [-1 if i == self.axis and parameter.ndim else 1 for i in range(self.data.ndim)]
        )
