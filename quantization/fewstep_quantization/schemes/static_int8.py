"""Static W8A8: 8-bit products with ranges of the activations that calibration has found.

A linear layer becomes `QuantizeLinear` (u8) and `com.microsoft.MatMulIntegerToFloat` (s8 weights, one scale an output, bias fused).
Plain Q / DQ pairs around MatMul and Add would be no integers at all: ONNX Runtime first fuses MatMul and Add into Gemm,
and a Gemm with a float bias stays float. Layers that read one tensor (q, k and v) share its QuantizeLinear.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from fewstep_quantization.affine import Range, quantise_weights
from fewstep_quantization.graph import CONTRIB, Rewriter
from fewstep_quantization.linear_rewrite import replace_linears
from fewstep_quantization.linears import Linear

Quantised = tuple[str, str, str]
"""Names of a u8 tensor, its scale and its zero point."""


def to_static_int8(
    model: onnx.ModelProto, ranges: Mapping[str, Range], exclude: Collection[str] = ()
) -> onnx.ModelProto:
    """The graph with its linear layers in integers.

    Args:
        model: a prepared FP32 graph.
        ranges: what the inputs of its linear layers cover, by tensor.
        exclude: the layers that stay float, by name.
    """
    inputs: dict[str, Quantised] = {}

    def write(graph: Rewriter, linear: Linear) -> None:
        if linear.input not in inputs:
            inputs[linear.input] = _quantise(graph, linear.input, ranges[linear.input])
        data, scale, zero = inputs[linear.input]
        quantised, scales = quantise_weights(linear.weights)
        graph.add(
            "MatMulIntegerToFloat",
            [
                data,
                graph.constant(quantised, f"{linear.output}_s8"),
                scale,
                graph.constant(scales, f"{linear.output}_scales"),
                zero,
                graph.constant(np.zeros(len(scales), dtype=np.int8), f"{linear.output}_zeros"),
                *([graph.constant(linear.bias, f"{linear.output}_bias")] if linear.bias is not None else []),
            ],
            linear.output,
            CONTRIB,
        )

    return replace_linears(model, exclude, write)


def _quantise(graph: Rewriter, name: str, covered: Range) -> Quantised:
    scale, zero = covered.u8()
    names = (
        graph.constant(np.array(scale), f"{name}_scale"),
        graph.constant(np.array(zero), f"{name}_zero"),
    )
    return graph.add("QuantizeLinear", [name, *names], graph.fresh(f"{name}_u8")), *names
