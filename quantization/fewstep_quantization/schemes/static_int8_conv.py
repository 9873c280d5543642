"""Static W8A8 for spatial convolutions: `com.microsoft.QLinearConv` with the channels last.

Its output is rounded to 8 bits as well, so both ends need a range. The float graph keeps NCHW; the Transposes written here meet those
of `to_channels_last`, and ONNX Runtime takes such pairs out.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from fewstep_quantization.affine import Range, quantise_weights
from fewstep_quantization.convolutions import Convolution, find_convolutions
from fewstep_quantization.graph import CONTRIB, TO_FIRST, TO_LAST, Rewriter

_INT32 = 2**31 - 1


def to_static_int8_conv(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    exclude: Collection[str] = (),
    weight_noise: float = 0.0,
) -> onnx.ModelProto:
    """The graph with its spatial convolutions in integers.

    Args:
        model: a prepared graph.
        ranges: what their inputs and outputs cover, by tensor.
        exclude: the layers that stay float, by name.
        weight_noise: what `quantise_weights` calls noise.
    """
    graph = Rewriter(model)
    chosen = {layer.output: layer for layer in find_convolutions(model) if layer.name not in exclude}
    for node in graph.old_nodes:
        if node.output[0] in chosen:
            layer = chosen[node.output[0]]
            _convolution(graph, layer, (ranges[layer.input], ranges[layer.output]), weight_noise)
        else:
            graph.keep(node)
    return graph.model()


def _convolution(graph: Rewriter, layer: Convolution, ends: tuple[Range, Range], weight_noise: float) -> None:
    name, (before, after) = layer.output, ends
    kernel, scales = quantise_weights(
        layer.weights.reshape(len(layer.weights), -1), axis=1, noise=weight_noise
    )
    x_scale, _ = before.u8()
    steps = np.rint(layer.bias / (scales * x_scale).astype(np.float64))
    x, y = (_parameters(graph, f"{name}_{end}", covered) for end, covered in (("x", before), ("y", after)))
    data = graph.add("QuantizeLinear", [graph.add("Transpose", [layer.input], perm=TO_LAST), *x])
    result = graph.add(
        "QLinearConv",
        [
            data,
            *x,
            graph.constant(kernel.reshape(layer.weights.shape), f"{name}_s8"),
            graph.constant(scales, f"{name}_scales"),
            graph.constant(np.zeros(len(scales), dtype=np.int8), f"{name}_zeros"),
            *y,
            graph.constant(np.clip(steps, -_INT32, _INT32).astype(np.int32), f"{name}_bias"),
        ],
        domain=CONTRIB,
        channels_last=1,
        **layer.attributes,
    )
    graph.add("Transpose", [graph.add("DequantizeLinear", [result, *y])], name, perm=TO_FIRST)


def _parameters(graph: Rewriter, name: str, covered: Range) -> tuple[str, str]:
    scale, zero = covered.u8()
    return graph.constant(np.array(scale), f"{name}_scale"), graph.constant(np.array(zero), f"{name}_zero")
