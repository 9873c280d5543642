"""What a lowering rule of one ONNX operator sees, and what it may accept."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from coremltools.converters.mil.mil import Var

from fewstep_export.coreml.eight_bits import EightBits

Constant: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = Any
"""A MIL `Var`, a numpy constant, `EightBits`, or None for an input that is left out."""


@dataclass(frozen=True)
class Call:
    """A node whose inputs are known.

    Attributes:
        operator: the ONNX name.
        name: of the first output, as MIL allows it.
        inputs: values by position; None where an optional input is left out.
        attributes: values by name; texts as str.
        outputs: how many there are.
        ios18: whether the target has the operators of iOS 18.
    """

    operator: str
    name: str
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any]
    outputs: int
    ios18: bool = False

    def input(self, i: int) -> Value:
        """Input `i`, or None if it is left out."""
        return self.inputs[i] if i < len(self.inputs) else None

    def operand(self, i: int) -> Value:
        """Input `i` as MIL's builder takes it: integers have 32 bits there."""
        return to_mil(self.inputs[i])

    def constant(self, i: int) -> Constant:
        """Input `i`, of which `preflight` knows that it is constant."""
        value = self.inputs[i]
        assert not isinstance(value, Var)
        return value.values() if isinstance(value, EightBits) else np.asarray(value)

    def weight(self, i: int, transpose: bool = False) -> Value:
        """The constant input `i`, transposed if asked to; one of eight bits stays so."""
        value = self.inputs[i]
        if isinstance(value, EightBits):
            return (value.transposed() if transpose else value).emit(f"{self.name}_weight")
        return np.ascontiguousarray(value.T) if transpose else np.asarray(value)

    def integers(self, i: int) -> list[int]:
        """The constant input `i` as Python integers."""
        return [int(value) for value in self.constant(i).reshape(-1)]


Lower = Callable[[Call], Value]
"""Emits MIL operators; returns the node's output, or a list of its outputs."""


@dataclass(frozen=True)
class Rule:
    """How an operator is lowered.

    Attributes:
        lower: emits MIL operators.
        attributes: the accepted attributes; those with None may have any value, the others one of these.
        constants: positions of inputs that must be constant.
    """

    lower: Lower
    attributes: Mapping[str, Container[object] | None]
    constants: tuple[int, ...] = ()


def to_mil(value: Value) -> Value:
    """A value as MIL's builder takes it. ONNX's sentinels of 64 bits saturate rather than wrap."""
    if isinstance(value, EightBits):
        return value.values()
    if isinstance(value, np.ndarray) and value.dtype == np.int64:
        limits = np.iinfo(np.int32)
        return np.clip(value, limits.min, limits.max).astype(np.int32)
    return value


def rank(value: Value) -> int:
    """The number of axes of a value."""
    return len(value.shape)
