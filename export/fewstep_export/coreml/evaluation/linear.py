"""Matrix products, convolutions and attention."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fewstep.errors import FewstepError
from fewstep_export.coreml.evaluation.layout import integers

Arguments = Mapping[str, Any]
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def _matmul(a: Arguments) -> Tensor:
    x, y = a["x"], a["y"]
    x = x.transpose(-1, -2) if a.get("transpose_x", False) else x
    return x @ (y.transpose(-1, -2) if a.get("transpose_y", False) else y)


def _padding(a: Arguments, spatial: int) -> list[int]:
    """Begin and end by axis."""
    if a["pad_type"] not in ("custom", "valid"):
        raise FewstepError(
            f"expected padding custom or valid, found {a['pad_type']}, in a convolution; add it to evaluation/linear"
        )
    return integers(a["pad"]) if a["pad_type"] == "custom" else [0] * 2 * spatial


def _conv(a: Arguments) -> Tensor:
    spatial = a["weight"].ndim - 2
    pads = torch.tensor(_padding(a, spatial)).reshape(-1, 2).flip(0).reshape(-1)
    strides, dilations = integers(a["strides"]), integers(a["dilations"])
    convolution = _CONVOLUTIONS[spatial - 1]
    x = F.pad(a["x"], integers(pads))
    return convolution(x, a["weight"], a.get("bias"), strides, 0, dilations, int(a["groups"]))


def _conv_transpose(a: Arguments) -> Tensor:
    spatial = a["weight"].ndim - 2
    strides, dilations = integers(a["strides"]), integers(a["dilations"])
    convolution = _TRANSPOSED[spatial - 1]
    full = convolution(a["x"], a["weight"], a.get("bias"), strides, 0, 0, int(a["groups"]), dilations)
    pads = _padding(a, spatial)
    for i in range(spatial):
        full = full.narrow(2 + i, pads[2 * i], full.shape[2 + i] - pads[2 * i] - pads[2 * i + 1])
    return full


def _attention(a: Arguments) -> Tensor:
    scores = a["query"] @ a["key"].transpose(-1, -2) / math.sqrt(a["query"].shape[-1])
    mask = a.get("attn_mask")
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ a["value"]


OPERATORS: Mapping[str, Callable[[Arguments], Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": lambda a: F.linear(a["x"], a["weight"], a.get("bias")),
    "matmul": _matmul,
    "scaled_dot_product_attention": _attention,
}
