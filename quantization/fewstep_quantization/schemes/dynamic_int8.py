"""Dynamic W8A8: every activation is measured where it is used, so there is nothing to calibrate.

`com.microsoft.DynamicQuantizeMatMul` finds the range, quantises and multiplies in one node. It reads the activations once more than the
static scheme, and layers that read one tensor do not share the work; in return no range can be wrong.
"""

from collections.abc import Collection

import numpy as np
import onnx

from fewstep_quantization.affine import quantise_weights
from fewstep_quantization.graph import CONTRIB, Rewriter
from fewstep_quantization.linear_rewrite import replace_linears
from fewstep_quantization.linears import Linear


def to_dynamic_int8(model: onnx.ModelProto, exclude: Collection[str] = ()) -> onnx.ModelProto:
    """The graph with its linear layers in integers; those named in `exclude` stay float."""
    return replace_linears(model, exclude, _write)


def _write(graph: Rewriter, linear: Linear) -> None:
    quantised, scales = quantise_weights(linear.weights)
    inputs = [
        linear.input,
        graph.constant(quantised, f"{linear.output}_s8"),
        graph.constant(scales, f"{linear.output}_scales"),
        graph.constant(np.zeros(len(scales), dtype=np.int8), f"{linear.output}_zeros"),
    ]
    if linear.bias is not None:
        inputs.append(graph.constant(linear.bias, f"{linear.output}_bias"))
    graph.add("DynamicQuantizeMatMul", inputs, linear.output, CONTRIB)
