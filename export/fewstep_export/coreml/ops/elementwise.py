"""Operators that work value by value."""

from collections.abc import Mapping

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813 - the name all MIL code has for it
from coremltools.converters.mil.mil import types

from fewstep_export.coreml.rule import Call, Lower, Rule, Value

_DTYPES = {1: "fp32", 6: "int32", 7: "int32", 9: "bool", 10: "fp16", 11: "fp32"}  # by onnx.TensorProto
_UNARY = {
    "Abs": "abs",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Not": "logical_not",
    "Relu": "relu",
    "Round": "round",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tanh": "tanh",
}
_BINARY = {
    "Add": "add",
    "And": "logical_and",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Max": "maximum",
    "Min": "minimum",
    "Mul": "mul",
    "Or": "logical_or",
    "Sub": "sub",
}


def _unary(operator: str) -> Lower:
    return lambda call: getattr(mb, operator)(x=call.operand(0), name=call.name)


def _binary(operator: str) -> Lower:
    return lambda call: getattr(mb, operator)(x=call.operand(0), y=call.operand(1), name=call.name)


def _div(call: Call) -> Value:
    x, y = call.operand(0), call.operand(1)
    integer = any(getattr(value, "dtype", None) in (types.int32, np.int32) for value in (x, y))
    return (mb.floor_div if integer else mb.real_div)(x=x, y=y, name=call.name)


def _equal(call: Call) -> Value:
    """MIL compares no truth values: they pass as integers."""
    pair = {"x": call.operand(0), "y": call.operand(1)}
    for name, value in pair.items():
        if value.dtype == types.bool:
            pair[name] = mb.cast(x=value, dtype="int32", name=f"{call.name}_{name}")
        elif value.dtype == np.bool_:
            pair[name] = value.astype(np.int32)
    return mb.equal(**pair, name=call.name)


def _is_nan(call: Call) -> Value:
    x = call.operand(0)
    return mb.not_equal(x=x, y=x, name=call.name)


def _pow(call: Call) -> Value:
    exponent = call.constant(1)
    if exponent.size == 1 and exponent.item() == 2:
        return mb.square(x=call.operand(0), name=call.name)
    if exponent.size == 1 and exponent.item() == 0.5:
        return mb.sqrt(x=call.operand(0), name=call.name)
    return mb.pow(x=call.operand(0), y=exponent.astype(scalar_type(call.operand(0))), name=call.name)


def _reciprocal(call: Call) -> Value:
    """A division: MIL's own `inverse` and `rsqrt` add an epsilon."""
    x = call.operand(0)
    return mb.real_div(x=scalar_type(x)(1), y=x, name=call.name)


def _log(call: Call) -> Value:
    x = call.operand(0)
    return mb.log(x=x, epsilon=scalar_type(x)(0), name=call.name)


def _neg(call: Call) -> Value:
    x = call.operand(0)
    return mb.mul(x=x, y=scalar_type(x)(-1), name=call.name)


def _gelu(call: Call) -> Value:
    tanh = call.attributes.get("approximate", "none") == "tanh"
    return mb.gelu(x=call.operand(0), mode="TANH_APPROXIMATION" if tanh else "EXACT", name=call.name)


def _clip(call: Call) -> Value:
    x, low, high = call.operand(0), call.input(1), call.input(2)
    if low is not None:
        x = mb.maximum(x=x, y=low, name=call.name if high is None else f"{call.name}_low")
    return x if high is None else mb.minimum(x=x, y=high, name=call.name)


def _elu(call: Call) -> Value:
    x = call.operand(0)
    return mb.elu(x=x, alpha=scalar_type(x)(call.attributes.get("alpha", 1.0)), name=call.name)


def _leaky_relu(call: Call) -> Value:
    x = call.operand(0)
    alpha = scalar_type(x)(call.attributes.get("alpha", 0.01))
    return mb.leaky_relu(x=x, alpha=alpha, name=call.name)


def _where(call: Call) -> Value:
    """MIL takes the shape of a and b alone, whatever that of the condition is: one of them is repeated up to it."""
    cond, a, b = (call.operand(i) for i in range(3))
    shape = np.broadcast_shapes(*(tuple(value.shape) for value in (cond, a, b)))
    if np.broadcast_shapes(tuple(a.shape), tuple(b.shape)) != shape:
        a = mb.add(x=a, y=np.zeros(shape, scalar_type(a)), name=f"{call.name}_repeated")
    return mb.select(cond=cond, a=a, b=b, name=call.name)


def _cast(call: Call) -> Value:
    return mb.cast(x=call.operand(0), dtype=_DTYPES[call.attributes["to"]], name=call.name)


def scalar_type(x: Value) -> type[np.generic]:
    """The numpy type of a value's elements."""
    return (
        np.dtype(types.nptype_from_builtin(x.dtype)).type if not isinstance(x, np.ndarray) else x.dtype.type
    )


RULES: Mapping[str, Rule] = {
    **{name: Rule(_unary(operator), {}) for name, operator in _UNARY.items()},
    **{name: Rule(_binary(operator), {}) for name, operator in _BINARY.items()},
    "Mod": Rule(_binary("mod"), {"fmod": (0,)}),
    "Cast": Rule(_cast, {"to": tuple(_DTYPES), "saturate": None}),
    "Clip": Rule(_clip, {}),
    "Div": Rule(_div, {}),
    "Elu": Rule(_elu, {"alpha": None}),
    "Equal": Rule(_equal, {}),
    "Gelu": Rule(_gelu, {"approximate": ("none", "tanh")}),
    "IsNaN": Rule(_is_nan, {}),
    "LeakyRelu": Rule(_leaky_relu, {"alpha": None}),
    "Log": Rule(_log, {}),
    "Neg": Rule(_neg, {}),
    "Pow": Rule(_pow, {}, constants=(1,)),
    "Reciprocal": Rule(_reciprocal, {}),
    "Where": Rule(_where, {}),
}
