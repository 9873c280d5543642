"""Eight-bit products for TensorRT: symmetric QuantizeLinear and DequantizeLinear around the inputs of linear layers and convolutions.

TensorRT fuses such pairs into INT8 kernels. It takes signed numbers without a zero point alone: one scale for a tensor of activations,
one for each output of a layer's weights (TensorRT's manual, "Working with quantized types"). The schemes of `fewstep_quantization` are
for ONNX Runtime's kernels, which want unsigned activations and nodes of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from fewstep.network import Feeds
from fewstep_export.session import tensors

_LEVELS = 127
_SMALLEST = 16
"""Inputs of a layer from which eight bits are worth their conversion."""
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Layer:
    """A node with constant weights, which of its inputs they are, and their axis of outputs."""

    node: onnx.NodeProto
    weights: str
    axis: int


def activation_ranges(model: onnx.ModelProto, cases: Sequence[Feeds]) -> Mapping[str, float]:
    """By node, the largest absolute value that comes into a layer with weights, over all cases."""
    ranges: dict[str, float] = {}
    layers = list(_layers(model))
    for feeds in cases:
        values = {**feeds, **tensors(model, feeds)}
        for layer in layers:
            peak = float(np.abs(values[layer.node.input[0]]).max())
            ranges[layer.node.name] = max(peak, ranges.get(layer.node.name, 0.0))
    return ranges


def quantized(model: onnx.ModelProto, ranges: Mapping[str, float]) -> onnx.ModelProto:
    """The graph with eight-bit inputs for every node of which a range is known; it stays in the float type that it has."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    chosen = {layer.node.name: layer for layer in _layers(result) if ranges.get(layer.node.name, 0.0) > 0}
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    made: dict[str, str] = {}
    for node in result.graph.node:
        if node.name in chosen:
            layer = chosen[node.name]
            weights = numpy_helper.to_array(constants[layer.weights])
            scale = np.asarray(ranges[node.name] / _LEVELS, weights.dtype)
            node.input[1] = _weights(result.graph, nodes, made, layer, weights)
            node.input[0] = _activations(result.graph, nodes, node, scale)
        nodes.append(node)
    _replace_nodes(result.graph, nodes)
    return result


def _layers(model: onnx.ModelProto) -> Iterator[_Layer]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Gemm", "MatMul", "Conv") or node.input[1] not in constants:
            continue
        weights = constants[node.input[1]]
        axis = _output_axis(node)
        inputs = int(np.prod([size for i, size in enumerate(weights.dims) if i != axis]))
        if len(weights.dims) > 1 and inputs >= _SMALLEST:
            yield _Layer(node, node.input[1], axis)


def _output_axis(node: onnx.NodeProto) -> int:
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _weights(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    made: dict[str, str],
    layer: _Layer,
    weights: FloatArray,
) -> str:
    """The name of the weights behind a DequantizeLinear; layers that share weights share it."""
    if layer.weights not in made:
        others = tuple(i for i in range(weights.ndim) if i != layer.axis)
        peaks = np.abs(weights.astype(np.float32)).max(axis=others, keepdims=True)
        # A scale that FP16 rounds to 0 would divide by it; such a row is all but zero.
        scales = np.maximum(peaks / _LEVELS, np.float32(1e-6)).astype(weights.dtype)
        values = np.clip(np.rint(weights.astype(np.float32) / scales.astype(np.float32)), -_LEVELS, _LEVELS)
        name = f"{layer.weights}.int8"
        _constant(graph, name, values.astype(np.int8))
        _constant(graph, f"{name}.scale", scales.reshape(-1))
        inputs = [name, f"{name}.scale"]
        nodes.append(
            helper.make_node("DequantizeLinear", inputs, [f"{name}.float"], f"{name}.float", axis=layer.axis)
        )
        made[layer.weights] = f"{name}.float"
    return made[layer.weights]


def _activations(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], node: onnx.NodeProto, scale: npt.NDArray[np.generic]
) -> str:
    """The name of a layer's input behind QuantizeLinear and DequantizeLinear."""
    begin, scales, zero = f"{node.name}.input", f"{node.name}.input.scale", f"{node.name}.input.zero"
    _constant(graph, scales, scale)
    _constant(graph, zero, np.zeros((), np.int8))
    nodes.append(
        helper.make_node("QuantizeLinear", [node.input[0], scales, zero], [f"{begin}.int8"], f"{begin}.int8")
    )
    nodes.append(
        helper.make_node(
            "DequantizeLinear", [f"{begin}.int8", scales, zero], [f"{begin}.float"], f"{begin}.float"
        )
    )
    return f"{begin}.float"


def _constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[np.generic]) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))


def _replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Puts the nodes in, and drops constants that nothing reads any more."""
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    constants = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in constants]
    del graph.initializer[:]
    graph.initializer.extend(constants)
