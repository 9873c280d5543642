"""Operators that work value by value."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Arguments = Mapping[str, Any]


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda a: function(a["x"])


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda a: function(a["x"], a["y"])


def _gelu(a: Arguments) -> Tensor:
    """By Apple's description: exact, by tanh, or x sigmoid(1.702 x)."""
    x = a["x"]
    if a["mode"] == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if a["mode"] == "TANH_APPROXIMATION" else "none")


def _cast(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    if a["dtype"] == "bool":
        return x != 0
    return x.trunc() if a["dtype"].startswith("int") and x.is_floating_point() else x


OPERATORS: Mapping[str, Callable[[Arguments], Tensor]] = {
    "abs": _unary(torch.abs),
    "add": _binary(torch.add),
    "cast": _cast,
    "clip": lambda a: a["x"].clamp(float(a["alpha"]), float(a["beta"])),
    "cos": _unary(torch.cos),
    "elu": lambda a: F.elu(a["x"], float(a["alpha"])),
    "equal": _binary(torch.eq),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "floor": _unary(torch.floor),
    "floor_div": _binary(torch.floor_divide),
    "gelu": _gelu,
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "identity": lambda a: a["x"],
    "inverse": lambda a: 1 / (a["x"] + float(a["epsilon"])),
    "leaky_relu": lambda a: F.leaky_relu(a["x"], float(a["alpha"])),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "log": lambda a: torch.log(a["x"] + float(a["epsilon"])),
    "logical_and": _binary(torch.logical_and),
    "logical_not": _unary(torch.logical_not),
    "logical_or": _binary(torch.logical_or),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "mod": _binary(torch.remainder),
    "mul": _binary(torch.mul),
    "not_equal": _binary(torch.ne),
    "pow": _binary(torch.pow),
    "real_div": _binary(torch.div),
    "relu": _unary(F.relu),
    "round": _unary(torch.round),
    "rsqrt": lambda a: 1 / torch.sqrt(a["x"] + float(a["epsilon"])),
    "select": lambda a: torch.where(a["cond"], a["a"], a["b"]),
    "sigmoid": _unary(torch.sigmoid),
    "sign": _unary(torch.sign),
    "silu": _unary(F.silu),
    "sin": _unary(torch.sin),
    "softplus": lambda a: torch.logaddexp(a["x"], torch.zeros_like(a["x"])),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "sub": _binary(torch.sub),
    "tanh": _unary(torch.tanh),
}
