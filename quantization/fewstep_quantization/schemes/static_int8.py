"""Static W8A8: 8-bit products with ranges of the activations that calibration has found.

A linear layer becomes `QuantizeLinear` (u8) and `com.microsoft.MatMulIntegerToFloat` (s8 weights, one scale an output, bias fused).
Plain Q / DQ pairs around MatMul and Add would be no integers at all: ONNX Runtime first fuses MatMul and Add into Gemm,
and a Gemm with a float bias stays float. Layers that read one tensor (q, k and v) share its QuantizeLinear.

Where a few large values stand among many small ones, 8 bits say little of the small ones. Such an input becomes two planes: its 8 bits and the 8
bits of what they leave, x = s q + (s / 255) (q' - 128), each multiplied by the same weights. Two products are still faster than a float one.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from fewstep_quantization.affine import Range, quantise_weights
from fewstep_quantization.graph import CONTRIB, Rewriter
from fewstep_quantization.linear_rewrite import replace_linears
from fewstep_quantization.linears import Linear
from fewstep_quantization.rounding import Rounded

Quantised = tuple[str, str, str]
"""Names of a u8 tensor, its scale and its zero point."""


def to_static_int8(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    exclude: Collection[str] = (),
    wide: Collection[str] = (),
    rounded: Mapping[str, Rounded] | None = None,
    weight_noise: float = 0.0,
) -> onnx.ModelProto:
    """The graph with its linear layers in integers.

    Args:
        model: a prepared FP32 graph.
        ranges: what the inputs of its linear layers cover, by tensor.
        exclude: the layers that stay float, by name.
        wide: the layers whose input becomes two planes.
        rounded: integer weights of layers by name, in the steps of `quantise_weights`; others are rounded to the nearest.
        weight_noise: what `quantise_weights` calls noise.
    """
    inputs: dict[str, Quantised] = {}
    rests: dict[str, Quantised] = {}

    def write(graph: Rewriter, linear: Linear) -> None:
        name = linear.input
        if name not in inputs:
            inputs[name] = _quantise(graph, name, ranges[name])
        weights = _weights(graph, linear, (rounded or {}).get(linear.name), weight_noise)
        bias = [] if linear.bias is None else [graph.constant(linear.bias, f"{linear.output}_bias")]
        if linear.name not in wide:
            _product(graph, inputs[name], weights, bias, linear.output)
            return
        if name not in rests:
            rests[name] = _rest(graph, name, inputs[name], ranges[name])
        planes = [_product(graph, inputs[name], weights, bias), _product(graph, rests[name], weights, [])]
        graph.add("Add", planes, linear.output)

    return replace_linears(model, exclude, write)


def _weights(graph: Rewriter, linear: Linear, rounded: Rounded | None, noise: float) -> tuple[str, str, str]:
    """Names of the s8 weights, their scales and their zero points."""
    nearest, scales = quantise_weights(linear.weights, noise=noise)
    quantised = nearest if rounded is None else rounded
    return (
        graph.constant(quantised, f"{linear.output}_s8"),
        graph.constant(scales, f"{linear.output}_scales"),
        graph.constant(np.zeros(len(scales), dtype=np.int8), f"{linear.output}_zeros"),
    )


def _product(
    graph: Rewriter, x: Quantised, weights: tuple[str, str, str], bias: list[str], output: str = ""
) -> str:
    (data, scale, zero), (quantised, scales, zeros) = x, weights
    output = output or graph.fresh(f"{quantised}_plane")
    return graph.add(
        "MatMulIntegerToFloat", [data, quantised, scale, scales, zero, zeros, *bias], output, CONTRIB
    )


def _rest(graph: Rewriter, name: str, first: Quantised, covered: Range) -> Quantised:
    """What the first 8 bits leave of a tensor, as 8 bits: between -1/2 and 1/2 of their step, but for values that they clip."""
    step = covered.u8()[0]
    left = graph.add("Sub", [name, graph.add("DequantizeLinear", list(first))])
    return _quantise(graph, left, Range(-float(step) / 2, float(step) / 2))


def _quantise(graph: Rewriter, name: str, covered: Range) -> Quantised:
    scale, zero = covered.u8()
    names = (
        graph.constant(np.array(scale), f"{name}_scale"),
        graph.constant(np.array(zero), f"{name}_zero"),
    )
    return graph.add("QuantizeLinear", [name, *names], graph.fresh(f"{name}_u8")), *names
