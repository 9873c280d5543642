"""Weights that are stored in fewer bits, and activations that pass in eight."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fewstep_export.coreml.evaluation.layout import integers
from fewstep_export.coreml.weight_file import unpack

Arguments = Mapping[str, Any]


def _affine(a: Arguments) -> Tensor:
    """For iOS 16: a scale and a zero point, for all or for each place along an axis."""
    data = a["quantized_data"]
    shape = [-1 if i == int(a["axis"]) else 1 for i in range(data.ndim)]
    scale, zero = (p.reshape(shape) if p.ndim else p for p in (a["scale"], a["zero_point"]))
    return (data.to(scale) - zero.to(scale)) * scale


def _lut(a: Arguments) -> Tensor:
    """For iOS 16: bytes packed with indices into one palette; for iOS 18: an index a weight, a palette a block of weights."""
    indices, palette = a["indices"], a["lut"]
    if "shape" in a:
        shape = integers(a["shape"])
        width = int(math.log2(palette.numel()))
        packed = indices.to(torch.uint8).numpy().tobytes()
        return palette[torch.from_numpy(unpack(packed, f"uint{width}", math.prod(shape))).long()].reshape(
            shape
        )
    for axis, size in enumerate(indices.shape):
        palette = palette.repeat_interleave(size // palette.shape[axis], axis)
    return torch.gather(palette.squeeze(-1), -1, indices.long()[..., None]).squeeze(-1)


def _blockwise(a: Arguments) -> Tensor:
    """For iOS 18: a scale and an offset a block."""
    data = a["data"]
    scale, offset = (_repeat(a[name], data) if name in a else None for name in ("scale", "offset"))
    assert scale is not None
    return (data.to(scale) - (0 if offset is None else offset.to(scale))) * scale


_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def _quantize(a: Arguments) -> Tensor:
    """Halves go to the even number, as in ONNX."""
    scale, zero = (_along(a[name], a) if name in a else None for name in ("scale", "zero_point"))
    low, high = _LIMITS[a["output_dtype"]]
    return ((a["input"] / scale).round() + (0 if zero is None else zero)).clamp(low, high)


def _dequantize(a: Arguments) -> Tensor:
    scale, zero = (_along(a[name], a) if name in a else None for name in ("scale", "zero_point"))
    assert scale is not None
    return (a["input"] - (0 if zero is None else zero)).to(scale) * scale


def _along(parameter: Tensor, a: Arguments) -> Tensor:
    """A parameter for all, or one for each place along an axis."""
    axis = int(a["axis"]) if "axis" in a else 0
    return (
        parameter.reshape([-1 if i == axis else 1 for i in range(a["input"].ndim)])
        if parameter.ndim
        else parameter
    )


def _repeat(parameter: Tensor, data: Tensor) -> Tensor:
    """A parameter of each block at each of its places."""
    for axis, size in enumerate(data.shape):
        parameter = parameter.repeat_interleave(size // parameter.shape[axis], axis)
    return parameter


OPERATORS: Mapping[str, Callable[[Arguments], Tensor]] = {
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_lut_to_dense": _lut,
    "dequantize": _dequantize,
    "quantize": _quantize,
}
