"""Activations in eight bits: QuantizeLinear and DequantizeLinear. Those of constants are folded into `EightBits`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813

from fewstep_export.coreml.eight_bits import EightBits
from fewstep_export.coreml.rule import Call, Rule, Value

_STORED = (np.int8, np.uint8)
_OUTPUTS = {"int8": "int8", "uint8": "uint8"}


def stored(call: Call) -> Value:
    """A DequantizeLinear of a constant; None if that has more than eight bits, as a bias does."""
    data, scale = call.constant(0), call.constant(1)
    if data.dtype not in _STORED:
        return None
    zero = np.zeros(scale.shape, data.dtype) if call.input(2) is None else call.constant(2)
    return EightBits(
        data, scale, zero, call.attributes.get("axis", 1) % data.ndim if scale.ndim else 0, call.ios18
    )


def _parameters(call: Call) -> Mapping[str, Any]:
    """The scale, and the zero point and the axis where there are."""
    scale = call.constant(1)
    zero = {} if call.input(2) is None or not call.constant(2).any() else {"zero_point": call.constant(2)}
    return {"scale": scale, **zero, **({"axis": call.attributes.get("axis", 1)} if scale.ndim else {})}


def _quantize(call: Call) -> Value:
    dtype = "uint8" if call.input(2) is None else call.constant(2).dtype.name
    return mb.quantize(
        input=call.operand(0), output_dtype=_OUTPUTS[dtype], name=call.name, **_parameters(call)
    )


def _dequantize(call: Call) -> Value:
    return mb.dequantize(input=call.operand(0), name=call.name, **_parameters(call))


RULES: Mapping[str, Rule] = {
    "DequantizeLinear": Rule(_dequantize, {"axis": None}, constants=(1, 2)),
    "QuantizeLinear": Rule(_quantize, {"axis": None, "saturate": (1,)}, constants=(1, 2)),
}
