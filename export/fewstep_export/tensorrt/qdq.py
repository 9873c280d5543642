"""Eight-bit products for TensorRT: symmetric QuantizeLinear and DequantizeLinear around the inputs of linear layers and convolutions.

TensorRT fuses such pairs into kernels of INT8 or FP8 (E4M3). It takes signed numbers without a zero point alone (TensorRT's manual,
"Working with quantized types"). A tensor of activations has one scale. INT8 weights have one for each output; FP8 weights have one in all,
as NVIDIA's ModelOpt has it: a float has a range of its own. The schemes of `fewstep_quantization` are for ONNX Runtime's kernels, which
want unsigned activations and nodes of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fewstep.network import Feeds
from fewstep_export.session import tensors

_SMALLEST = 16
"""Inputs of a layer from which eight bits are worth their conversion."""
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EightBits:
    """A type of eight bits.

    Attributes:
        name: in the names of what is made.
        dtype: of ONNX.
        largest: number of the type; the largest of a tensor becomes it.
        per_output: whether weights have a scale for each output.
    """

    name: str
    dtype: int
    largest: float
    per_output: bool

    def rounded(self, values: FloatArray) -> npt.NDArray[np.generic]:
        """Scaled values in the type, to the nearest."""
        clipped = np.clip(values, -self.largest, self.largest)
        integer = self.dtype == TensorProto.INT8
        return (np.rint(clipped) if integer else clipped).astype(helper.tensor_dtype_to_np_dtype(self.dtype))


INT8 = EightBits("int8", TensorProto.INT8, 127.0, per_output=True)
FP8 = EightBits("fp8", TensorProto.FLOAT8E4M3FN, 448.0, per_output=False)


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


def quantized(model: onnx.ModelProto, ranges: Mapping[str, float], bits: EightBits = INT8) -> onnx.ModelProto:
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
            scale = np.asarray(ranges[node.name] / bits.largest, weights.dtype)
            node.input[1] = _weights(result.graph, nodes, made, layer, weights, bits)
            node.input[0] = _activations(result.graph, nodes, node, scale, bits)
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
    bits: EightBits,
) -> str:
    """The name of the weights behind a DequantizeLinear; layers that share weights share it."""
    if layer.weights not in made:
        others = tuple(i for i in range(weights.ndim) if i != layer.axis or not bits.per_output)
        peaks = np.abs(weights.astype(np.float32)).max(axis=others, keepdims=True)
        # A scale that FP16 rounds to 0 would divide by it; such a row is all but zero.
        scales = np.maximum(peaks / np.float32(bits.largest), np.float32(1e-6)).astype(weights.dtype)
        name = f"{layer.weights}.{bits.name}"
        _constant(graph, name, bits.rounded(weights.astype(np.float32) / scales.astype(np.float32)))
        _constant(graph, f"{name}.scale", scales.reshape(-1) if bits.per_output else scales.reshape(()))
        inputs = [name, f"{name}.scale"]
        node = helper.make_node("DequantizeLinear", inputs, [f"{name}.float"], f"{name}.float")
        if bits.per_output:
            node.attribute.append(helper.make_attribute("axis", layer.axis))
        nodes.append(node)
        made[layer.weights] = f"{name}.float"
    return made[layer.weights]


def _activations(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    node: onnx.NodeProto,
    scale: npt.NDArray[np.generic],
    bits: EightBits,
) -> str:
    """The name of a layer's input behind QuantizeLinear and DequantizeLinear."""
    begin = f"{node.name}.input"
    there, scales, zero, back = f"{begin}.{bits.name}", f"{begin}.scale", f"{begin}.zero", f"{begin}.float"
    _constant(graph, scales, scale)
    _constant(graph, zero, np.zeros((), helper.tensor_dtype_to_np_dtype(bits.dtype)))
    nodes.append(helper.make_node("QuantizeLinear", [node.input[0], scales, zero], [there], there))
    nodes.append(helper.make_node("DequantizeLinear", [there, scales, zero], [back], back))
    return back


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
