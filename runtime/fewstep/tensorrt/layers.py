"""The layers of a network or of an engine, with the types that they compute in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


@dataclass(frozen=True)
class Layer:
    """A layer of a parsed network.

    Attributes:
        kind: like "CONVOLUTION".
        nodes: the names of the ONNX nodes that it stands for; none for what the parser adds.
        dtypes: the types of its outputs, like "HALF".
        name: in the library's messages.
        sizes: how many numbers its outputs have, of two pictures.
    """

    kind: str
    nodes: tuple[str, ...]
    dtypes: tuple[str, ...]
    name: str = ""
    sizes: tuple[int, ...] = ()


def layers_of(network: Any) -> Iterator[Layer]:
    """The layers in order. In a strongly typed network the builder may choose no other types."""
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        nodes = tuple(_NODE.findall(layer.metadata or ""))
        outputs = [layer.get_output(k) for k in range(layer.num_outputs)]
        dtypes = tuple(output.dtype.name for output in outputs)
        yield Layer(layer.type.name, nodes, dtypes, layer.name, tuple(map(_size, outputs)))


def _size(tensor: Any) -> int:
    return prod(2 if size < 0 else size for size in tensor.shape)


def inspected(library: Any, engine: Any) -> list[dict[str, Any]]:
    """What the engine inspector tells of every layer of a loaded engine that was built with detailed profiling; it needs a GPU."""
    text = engine.create_engine_inspector().get_engine_information(library.LayerInformationFormat.JSON)
    layers: list[dict[str, Any]] = [layer for layer in json.loads(text)["Layers"] if isinstance(layer, dict)]
    return layers
