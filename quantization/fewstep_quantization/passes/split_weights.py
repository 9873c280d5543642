"""A layer whose output is split into parts (q, k and v; the halves of a gated feed-forward) as one layer a part.

The Split copies everything that the layer has made, and what lies between (an activation, a depthwise convolution, a Transpose) works on
tensors that no longer fit the caches. Weights can be split once, here; layers that read one tensor share its 8 bits anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from fewstep_quantization.graph import Array, Rewriter, attributes

_UNARY = frozenset({"Relu", "Sigmoid", "Gelu", "Tanh", "Elu", "Softplus", "HardSwish", "HardSigmoid", "Erf", "Neg", "Exp"})  # fmt: skip
_BINARY = frozenset({"Add", "Sub", "Mul", "Div"})
_MOST_NODES = 12


@dataclass(frozen=True)
class _Region:
    """What lies between a layer's product and the Split: nodes in order, and by tensor the axis and size of its channels."""

    nodes: tuple[onnx.NodeProto, ...]
    channels: dict[str, tuple[int, int]]


def split_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with the linear layers in front of a Split taken apart, where everything between works channel by channel."""
    graph = Rewriter(model)
    order = {node.output[0]: k for k, node in enumerate(graph.old_nodes)}
    makers = {name: node for node in graph.old_nodes for name in node.output}
    splits = [node for node in graph.old_nodes if node.op_type == "Split"]
    found = {
        split.output[0]: (region, parts)
        for split in splits
        if (parts := _parts(split, graph)) and (region := _region(split, graph, makers, order)) is not None
        if all(size * len_ % sum(parts) == 0 for _, len_ in region.channels.values() for size in parts)
    }
    gone = {node.output[0] for region, _ in found.values() for node in region.nodes}
    for node in graph.old_nodes:
        if node.output[0] in found:
            region, parts = found[node.output[0]]
            _write(graph, node, region, parts)
        elif node.output[0] not in gone:
            graph.keep(node)
    return graph.model() if found else model


def _parts(split: onnx.NodeProto, graph: Rewriter) -> list[int]:
    """The sizes of the parts along the axis of the Split; none where they are unknown."""
    if len(split.input) > 1 and split.input[1]:
        sizes = graph.constants.get(split.input[1])
        return [] if sizes is None else [int(size) for size in sizes]
    shape = graph.shapes.get(split.input[0], ())
    axis = attributes(split).get("axis", 0)
    size = shape[axis] if shape else None
    count = len(split.output)
    return [size // count] * count if isinstance(size, int) and size % count == 0 else []


def _region(
    split: onnx.NodeProto, graph: Rewriter, makers: dict[str, onnx.NodeProto], order: dict[str, int]
) -> _Region | None:
    """Everything from a product with constant weights to the Split, if nobody else reads it; None where there is another operator."""
    rank = graph.rank(split.input[0])
    if rank is None:
        return None
    channels: dict[str, tuple[int, int]] = {}
    nodes: dict[str, onnx.NodeProto] = {}
    todo = [(split.input[0], attributes(split).get("axis", 0) % rank)]
    readers = {split.input[0]: 1}
    while todo:
        name, axis = todo.pop()
        shape, node = graph.shapes.get(name, ()), makers.get(name)
        size = shape[axis] if axis < len(shape) else None
        if name in channels:
            if channels[name][0] != axis:
                return None
            continue
        if node is None or not isinstance(size, int) or len(nodes) == _MOST_NODES:
            return None
        channels[name], nodes[name] = (axis, size), node
        before = _before(node, axis, size, graph)
        if before is None:
            return None
        for source, _ in before:
            readers[source] = readers.get(source, 0) + 1
        todo += before
    if any(graph.uses[name] != readers[name] for name in nodes):
        return None
    return _Region(tuple(sorted(nodes.values(), key=lambda node: order[node.output[0]])), channels)


def _before(node: onnx.NodeProto, axis: int, size: int, graph: Rewriter) -> list[tuple[str, int]] | None:
    """The inputs of a node that carry the channels, each with their axis; none for the product itself, None for what cannot be split."""
    op, given = node.op_type, attributes(node)
    if node.domain:
        return None
    if op == "MatMul":
        weights = graph.constants.get(node.input[1])
        last = len(graph.shapes[node.output[0]]) - 1
        return [] if weights is not None and weights.ndim == 2 and axis == last else None
    if op == "Transpose":
        return [(node.input[0], list(given["perm"])[axis])]
    if op in _UNARY:
        return [(node.input[0], axis)]
    if op == "Conv":
        kernel = graph.constants.get(node.input[1])
        depthwise = kernel is not None and given.get("group", 1) == size == len(kernel)
        return [(node.input[0], 1)] if depthwise and axis == 1 else None
    if op == "Reshape":
        before, after = graph.shapes.get(node.input[0], ()), graph.constants.get(node.input[1])
        same = after is not None and axis < len(before) and before[1:axis] == tuple(after[1:axis])
        full = before[axis] if same else None
        whole = (
            isinstance(full, int)
            and axis > 0
            and after is not None
            and after[axis] == size
            and full % size == 0
        )
        return [(node.input[0], axis)] if whole else None  # fmt: skip
    if op in _BINARY:
        rank = len(graph.shapes[node.output[0]])
        if any(name not in graph.constants and graph.rank(name) != rank for name in node.input):
            return None
        return [(name, axis) for name in node.input if name not in graph.constants]
    return None


def _write(graph: Rewriter, split: onnx.NodeProto, region: _Region, parts: Sequence[int]) -> None:
    """The nodes of the region once a part; the last of each makes the output of the Split."""
    begin, whole = 0, sum(parts)
    for part, output in zip(parts, split.output, strict=True):
        names = {name: graph.fresh(f"{name}_part") for name in region.channels} | {split.input[0]: output}
        for node in region.nodes:
            axis, size = region.channels[node.output[0]]
            cut = slice(begin * size // whole, (begin + part) * size // whole)
            graph.keep(_part(graph, node, names, axis, size, cut))
        begin += part


def _part(
    graph: Rewriter, node: onnx.NodeProto, names: dict[str, str], axis: int, size: int, cut: slice
) -> onnx.NodeProto:
    """One node for the channels of one part."""
    result = onnx.NodeProto()
    result.CopyFrom(node)
    result.name, result.output[0] = "", names[node.output[0]]
    rank = len(graph.shapes[node.output[0]])
    for place, name in enumerate(node.input):
        if name in names:
            result.input[place] = names[name]
        elif name in graph.constants:
            value = _constant_part(node, place, graph.constants[name], rank - axis, size, cut)
            if value is not None:
                result.input[place] = graph.constant(value, f"{name}_part")
    if node.op_type == "Conv":
        (group,) = (entry for entry in result.attribute if entry.name == "group")
        group.i = cut.stop - cut.start
    return result


def _constant_part(
    node: onnx.NodeProto, place: int, value: Array, from_end: int, size: int, cut: slice
) -> Array | None:
    """The part of a constant input; None where it is the same for all channels."""
    if node.op_type == "MatMul":
        return np.ascontiguousarray(value[:, cut])
    if node.op_type == "Conv":
        return np.ascontiguousarray(value[cut])
    if node.op_type == "Reshape":
        axis = len(value) - from_end
        return np.concatenate([value[:axis], [cut.stop - cut.start], value[axis + 1 :]]).astype(np.int64)
    if node.op_type in _BINARY and value.ndim >= from_end and value.shape[-from_end] == size > 1:
        return np.ascontiguousarray(np.take(value, range(cut.start, cut.stop), axis=-from_end))
    return None
