"""The linear layers of a graph, however they are written: MatMul, MatMul and Add, Gemm."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from fewstep_quantization.graph import attributes, constants

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Linear:
    """y = x W + b.

    Args:
        input: the name of x (..., K).
        output: the name of y (..., N).
        weights: W (K, N) float32.
        bias: b (N,) float32, or None.
        nodes: the names of the outputs of the nodes that compute it.
    """

    input: str
    output: str
    weights: FloatArray
    bias: FloatArray | None
    nodes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the layer is called in reports and on the command line: the tensor that it makes."""
        return self.output


def find_linears(model: onnx.ModelProto) -> list[Linear]:
    """The linear layers with constant FP32 weights, in order of execution."""
    known = constants(model)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    found = []
    for node in model.graph.node:
        if len(node.input) < 2 or node.op_type not in ("MatMul", "Gemm") or node.domain:
            continue
        weights = known.get(node.input[1])
        if weights is None or weights.ndim != 2 or weights.dtype != np.float32:
            continue
        following = readers.get(node.output[0], [])
        alone = following[0] if len(following) == 1 and node.output[0] not in outputs else None
        linear = (
            _gemm(node, weights, known) if node.op_type == "Gemm" else _matmul(node, weights, known, alone)
        )
        found += [linear] if linear is not None else []
    return found


def _matmul(
    node: onnx.NodeProto, weights: FloatArray, known: dict[str, FloatArray], reader: onnx.NodeProto | None
) -> Linear:
    """The product, with the addition of a bias if that alone reads it."""
    if reader is not None and reader.op_type == "Add":
        other = reader.input[1 - list(reader.input).index(node.output[0])]
        bias = known.get(other)
        if bias is not None and bias.shape == (weights.shape[1],):
            return Linear(node.input[0], reader.output[0], weights, bias, (node.output[0], reader.output[0]))
    return Linear(node.input[0], node.output[0], weights, None, (node.output[0],))


def _gemm(node: onnx.NodeProto, weights: FloatArray, known: dict[str, FloatArray]) -> Linear | None:
    """A Gemm without factors and with a constant bias; None for others."""
    given = attributes(node)
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
        return None
    weights = np.ascontiguousarray(weights.T) if given.get("transB", 0) else weights
    bias = known.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if len(node.input) > 2 and node.input[2] and (bias is None or bias.shape != (weights.shape[1],)):
        return None
    return Linear(node.input[0], node.output[0], weights, bias, (node.output[0],))
