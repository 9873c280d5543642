"""Matrix products and convolutions."""

from collections.abc import Mapping

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Var

from fewstep_export.coreml.rule import Call, Rule, Value, rank

_MAX_LINEAR_RANK = 3  # of mb.linear's input


def _matmul(call: Call) -> Value:
    x, y = call.operand(0), call.inputs[1]
    if not isinstance(y, Var) and rank(y) == 2 and rank(x) <= _MAX_LINEAR_RANK and isinstance(x, Var):
        return mb.linear(x=x, weight=call.weight(1, transpose=True), name=call.name)
    return mb.matmul(x=x, y=y if isinstance(y, Var) else call.weight(1), name=call.name)


def _gemm(call: Call) -> Value:
    x, bias = call.operand(0), call.input(2)
    weight = call.weight(1, transpose=not call.attributes.get("transB", 0))
    if bias is None:
        return mb.linear(x=x, weight=weight, name=call.name)
    bias = np.broadcast_to(call.constant(2).reshape(-1), weight.shape[:1]).copy()
    return mb.linear(x=x, weight=weight, bias=bias, name=call.name)


def _convolution(call: Call) -> Value:
    spatial = rank(call.inputs[0]) - 2
    begins, ends = np.reshape(call.attributes.get("pads", [0] * 2 * spatial), (2, spatial))
    bias = {} if call.input(2) is None else {"bias": call.constant(2)}
    emit = mb.conv if call.operator == "Conv" else mb.conv_transpose
    return emit(
        x=call.operand(0),
        weight=call.weight(1),
        strides=call.attributes.get("strides", [1] * spatial),
        pad_type="custom",
        pad=np.stack([begins, ends], 1).reshape(-1).astype(np.int32),
        dilations=call.attributes.get("dilations", [1] * spatial),
        groups=call.attributes.get("group", 1),
        name=call.name,
        **bias,
    )


_CONVOLUTION: Mapping[str, tuple[object, ...] | None] = {
    "auto_pad": ("NOTSET",),
    "dilations": None,
    "group": None,
    "kernel_shape": None,
    "pads": None,
    "strides": None,
}
RULES: Mapping[str, Rule] = {
    "Conv": Rule(_convolution, _CONVOLUTION, constants=(1, 2)),
    "ConvTranspose": Rule(_convolution, _CONVOLUTION, constants=(1, 2)),
    "Gemm": Rule(
        _gemm, {"alpha": (1.0,), "beta": (1.0,), "transA": (0,), "transB": (0, 1)}, constants=(1, 2)
    ),
    "MatMul": Rule(_matmul, {}),
}
