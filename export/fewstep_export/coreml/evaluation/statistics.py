"""Norms, reductions and the softmax."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fewstep_export.coreml.evaluation.layout import integers

Arguments = Mapping[str, Any]


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[[Arguments], Tensor]:
    def evaluate(a: Arguments) -> Tensor:
        axes = integers(a["axes"]) if "axes" in a else list(range(a["x"].ndim))
        return function(a["x"], axes, bool(a.get("keep_dims", False)))

    return evaluate


def _normalised(x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + epsilon)


def _layer_norm(a: Arguments) -> Tensor:
    x = a["x"]
    axes = [axis % x.ndim for axis in integers(a["axes"])]
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    y = _normalised(x, axes, float(a["epsilon"]))
    y = y * a["gamma"].reshape(shape) if "gamma" in a else y
    return y + a["beta"].reshape(shape) if "beta" in a else y


def _instance_norm(a: Arguments) -> Tensor:
    x = a["x"]
    shape = [1, -1] + [1] * (x.ndim - 2)
    y = _normalised(x, list(range(2, x.ndim)), float(a["epsilon"]))
    y = y * a["gamma"].reshape(shape) if "gamma" in a else y
    return y + a["beta"].reshape(shape) if "beta" in a else y


def _batch_norm(a: Arguments) -> Tensor:
    x = a["x"]
    one, zero = x.new_ones(1), x.new_zeros(1)
    mean, variance, gamma, beta = (
        a.get(name, default).reshape([1, -1] + [1] * (x.ndim - 2))
        for name, default in (("mean", zero), ("variance", one), ("gamma", one), ("beta", zero))
    )
    return (x - mean) / torch.sqrt(variance + float(a["epsilon"])) * gamma + beta


def _cumsum(a: Arguments) -> Tensor:
    x, axis = a["x"], int(a["axis"])
    summed = x.flip(axis).cumsum(axis).flip(axis) if a["reverse"] else x.cumsum(axis)
    return summed - x if a["exclusive"] else summed


def _argmax(a: Arguments) -> Tensor:
    return torch.argmax(a["x"].double(), int(a["axis"]), keepdim=bool(a["keep_dims"]))


OPERATORS: Mapping[str, Callable[[Arguments], Tensor]] = {
    "batch_norm": _batch_norm,
    "cumsum": _cumsum,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "reduce_argmax": _argmax,
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keep)),
    "reduce_mean": _reduce(lambda x, axes, keep: x.mean(axes, keep)),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keep)),
    "reduce_sum": _reduce(lambda x, axes, keep: x.sum(axes, keep)),
    "softmax": lambda a: torch.softmax(a["x"], int(a["axis"])),
}
