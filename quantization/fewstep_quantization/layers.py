"""Which layers are worth integers: the cost of each linear layer and each spatial convolution."""

from collections.abc import Mapping
from math import prod

import onnx

from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.graph import constants, shapes
from fewstep_quantization.linears import find_linears

SMALL = 0.0005
"""Of the multiplications of a graph: below it (the first and the last layer, few channels wide) a layer gains nothing in integers."""


def multiplications(model: onnx.ModelProto) -> Mapping[str, int]:
    """Multiplications of every layer for one sample, by name; free sizes other than the first count once."""
    known = shapes(model)

    def inner(name: str, channels_last: bool) -> int:
        """Positions of one sample, at each of which all weights are used once."""
        sizes = known.get(name, ())
        positions = sizes[1:-1] if channels_last else sizes[2:]
        return prod(size for size in positions if isinstance(size, int))

    linears = {layer.name: layer.weights.size * inner(layer.name, True) for layer in find_linears(model)}
    return linears | {
        layer.name: layer.weights.size * inner(layer.name, False) for layer in find_convolutions(model)
    }


def one_row_layers(model: onnx.ModelProto) -> frozenset[str]:
    """The linear layers that see one row a sample: those of the timestep, whose errors shift all pixels alike."""
    counts = multiplications(model)
    return frozenset(layer.name for layer in find_linears(model) if counts[layer.name] == layer.weights.size)


def small_layers(model: onnx.ModelProto, part: float = SMALL) -> frozenset[str]:
    """The layers below this part of all multiplications, and those of one row."""
    counts = multiplications(model)
    few = (name for name, count in counts.items() if count < part * sum(counts.values()))
    return one_row_layers(model).union(few)


def last_layers(model: onnx.ModelProto) -> frozenset[str]:
    """The layers that make an output, with nothing behind them but what has one input: nothing evens their errors out."""
    makers = {name: node for node in model.graph.node for name in node.output}
    layers = {layer.name for layer in find_linears(model)}
    layers |= {layer.name for layer in find_convolutions(model)}
    known = constants(model)
    found: set[str] = set()
    for output in model.graph.output:
        name = output.name
        while name not in layers and name in makers:
            inputs = [value for value in makers[name].input if value and value not in known]
            if len(inputs) != 1:
                break
            (name,) = inputs
        found |= {name} & layers
    return frozenset(found)
