"""Which layers are worth integers: the cost of each linear layer."""

from collections.abc import Mapping
from math import prod

import onnx

from fewstep_quantization.graph import shapes
from fewstep_quantization.linears import find_linears

SMALL = 0.0005
"""Of the multiplications of a graph: below it (the first and the last layer, few channels wide) a layer gains nothing in integers."""


def rows(model: onnx.ModelProto) -> Mapping[str, int]:
    """How many rows of one sample each linear layer multiplies, by name; free sizes other than the first count once."""
    known = shapes(model)
    return {
        linear.name: prod(size for size in known.get(linear.output, ())[1:-1] if isinstance(size, int))
        for linear in find_linears(model)
    }


def multiplications(model: onnx.ModelProto) -> Mapping[str, int]:
    """Multiplications of every linear layer for one sample, by name."""
    counts = rows(model)
    return {linear.name: linear.weights.size * counts[linear.name] for linear in find_linears(model)}


def one_row_layers(model: onnx.ModelProto) -> frozenset[str]:
    """The layers that see one row a sample: those of the timestep, whose errors shift all pixels alike."""
    return frozenset(name for name, count in rows(model).items() if count == 1)


def small_layers(model: onnx.ModelProto, part: float = SMALL) -> frozenset[str]:
    """The layers below this part of all multiplications, and those of one row."""
    counts = multiplications(model)
    few = (name for name, count in counts.items() if count < part * sum(counts.values()))
    return one_row_layers(model).union(few)
