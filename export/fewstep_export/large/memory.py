"""How much memory an export will take, said before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

FLOAT = 4
BASE = 450_000_000
"""Bytes of Python with torch, onnx and diffusers loaded (measured: 0.42 GB)."""
GRAPH = 250_000_000
"""Bytes that a traced graph of some thousands of operators takes (measured: 0.2 GB for the 4,700 of Stable Diffusion's U-Net)."""
COPIES = 3
"""Of a weight on its way: as stored, as float32, transposed."""


@dataclass(frozen=True)
class MemoryForecast:
    """Peak resident bytes of the stages, each in a process of its own.

    Attributes:
        weights: all weights as float32.
        export: tracing and writing.
        reference: one evaluation by torch.
        check: one evaluation by ONNX Runtime, which maps the weights and keeps packed copies of none.
    """

    weights: int
    export: int
    reference: int
    check: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], activations: int) -> "MemoryForecast":
        """The forecast for weights of these shapes and so many bytes of activations alive at once."""
        sizes = [FLOAT * prod(shape) for shape in shapes.values()]
        total, largest = sum(sizes), max(sizes, default=0)
        evaluation = BASE + total + activations
        return cls(total, BASE + GRAPH + COPIES * largest, evaluation, evaluation)

    @property
    def peak(self) -> int:
        """Of the whole export."""
        return max(self.export, self.reference, self.check)

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"weights {_gb(self.weights)}, peak memory about {_gb(self.peak)} "
            f"(export {_gb(self.export)}, torch {_gb(self.reference)}, check {_gb(self.check)})"
        )


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
