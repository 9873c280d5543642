"""Migration of outlying channels from the activations into the weights (SmoothQuant; Xiao et al. 2023, equation 4).

x W = (x / m)(m W) with m_j = max|x_j|^a / max|W_j|^(1-a) for channel j: one scale then fits all channels of x. The division is a Mul
that layers which read one tensor share.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from fewstep_quantization.graph import Rewriter
from fewstep_quantization.linear_rewrite import replace_linears
from fewstep_quantization.linears import FloatArray, Linear, find_linears

STRENGTH = 0.5
OUTLIER = 6.0
"""A tensor is worth a migration if its largest channel reaches so many times as far as the median one."""
_SMALLEST = 1e-5


def migrate(
    model: onnx.ModelProto,
    peaks: Mapping[str, FloatArray],
    layers: Collection[str],
    strength: float = STRENGTH,
) -> onnx.ModelProto:
    """The same function with the inputs of these layers evened out, where channels stand out.

    Args:
        model: a prepared FP32 graph.
        peaks: the largest absolute value of every channel, by tensor.
        layers: names of linear layers; all layers that read one tensor are taken together.
        strength: the exponent a, 0 (weights alone count) to 1 (activations alone).
    """
    linears = find_linears(model)
    inputs = {linear.input for linear in linears if linear.name in layers and _outlying(peaks[linear.input])}
    shared: dict[str, list[Linear]] = {name: [] for name in inputs}
    for linear in linears:
        if linear.input in shared:
            shared[linear.input].append(linear)
    factors = {name: _factors(peaks[name], readers, strength) for name, readers in shared.items()}
    even: dict[str, str] = {}

    def write(graph: Rewriter, linear: Linear) -> None:
        name, output = linear.input, linear.output
        if name not in even:
            even[name] = graph.add(
                "Mul", [name, graph.constant(1 / factors[name], f"{name}_inverse")], f"{name}_even"
            )
        weights = graph.constant(linear.weights * factors[name][:, None], f"{output}_migrated")
        _linear(graph, linear, even[name], weights)

    others = {linear.name for linear in linears if linear.input not in inputs}
    return replace_linears(model, others, write)


def _outlying(peaks: FloatArray) -> bool:
    return bool(peaks.max() >= OUTLIER * np.median(peaks))


def _factors(peaks: FloatArray, readers: list[Linear], strength: float) -> FloatArray:
    """m, with a geometric mean of 1."""
    weights = np.max([np.abs(linear.weights).max(axis=1) for linear in readers], axis=0)
    factors = np.maximum(peaks, _SMALLEST) ** strength / np.maximum(weights, _SMALLEST) ** (1 - strength)
    return np.asarray(factors / np.exp(np.log(factors).mean()), dtype=np.float32)


def _linear(graph: Rewriter, linear: Linear, data: str, weights: str) -> None:
    if linear.bias is None:
        graph.add("MatMul", [data, weights], linear.output)
    else:
        bias = graph.constant(linear.bias, f"{linear.output}_bias")
        graph.add("Add", [graph.add("MatMul", [data, weights]), bias], linear.output)
