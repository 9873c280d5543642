"""Which layers are worth integers: the cost of each linear layer."""

from collections.abc import Mapping
from math import prod

import onnx

from fewstep_quantization.graph import shapes
from fewstep_quantization.linears import find_linears

SMALL = 0.003
"""Of the multiplications of a graph: below it a layer gains nothing in integers, and those of the timestep and the text shift all pixels."""


def multiplications(model: onnx.ModelProto) -> Mapping[str, int]:
    """Multiplications of every linear layer for one sample, by name; free sizes other than the first count once."""
    known = shapes(model)
    return {
        linear.name: linear.weights.size
        * prod(size for size in known.get(linear.output, ())[1:-1] if isinstance(size, int))
        for linear in find_linears(model)
    }


def small_layers(model: onnx.ModelProto, part: float = SMALL) -> frozenset[str]:
    """The layers below this part of all multiplications."""
    counts = multiplications(model)
    return frozenset(name for name, count in counts.items() if count < part * sum(counts.values()))
