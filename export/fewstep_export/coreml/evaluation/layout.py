"""Operators that move values."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Arguments = Mapping[str, Any]


def integers(value: Tensor) -> list[int]:
    """A tensor of integers as a list."""
    return [int(v) for v in value.reshape(-1)]


def _reshape(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(integers(a["shape"]))])


def _expand_dims(a: Arguments) -> Tensor:
    shape = np.expand_dims(np.empty(a["x"].shape, np.bool_), tuple(integers(a["axes"]))).shape
    return a["x"].reshape(shape)


def _squeeze(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    return x.squeeze(tuple(integers(a["axes"]))) if "axes" in a else x.squeeze()


def _slice(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    begin, end = integers(a["begin"]), integers(a["end"])
    steps = integers(a["stride"]) if "stride" in a else [1] * x.ndim
    from_start, to_end, single = (
        a[f"{name}_mask"].tolist() if f"{name}_mask" in a else [False] * x.ndim
        for name in ("begin", "end", "squeeze")
    )
    for axis in reversed(range(x.ndim)):
        if single[axis]:
            x = x.select(axis, begin[axis])
            continue
        first = None if from_start[axis] else begin[axis]
        last = None if to_end[axis] else end[axis]
        places = range(x.shape[axis])[slice(first, last, steps[axis])]
        x = x.index_select(axis, torch.tensor(list(places), dtype=torch.long))
    return x


def _gather(a: Arguments) -> Tensor:
    x, indices = a["x"], a["indices"].long()
    axis = int(a["axis"]) % x.ndim
    taken = x.index_select(axis, torch.where(indices < 0, indices + x.shape[axis], indices).reshape(-1))
    return taken.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _gather_along_axis(a: Arguments) -> Tensor:
    x, indices = a["x"], a["indices"].long()
    axis = int(a["axis"]) % x.ndim
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def _gather_nd(a: Arguments) -> Tensor:
    return a["x"][tuple(a["indices"].long().unbind(-1))]


def _split(a: Arguments) -> list[Tensor]:
    x, axis = a["x"], int(a["axis"])
    sizes = integers(a["split_sizes"]) if "split_sizes" in a else x.shape[axis] // int(a["num_splits"])
    return list(torch.split(x, sizes, axis))


def _pad(a: Arguments) -> Tensor:
    amounts = a["pad"].reshape(-1, 2).flip(0).reshape(-1)  # torch begins with the last axis
    if a["mode"] == "constant":
        return F.pad(a["x"], integers(amounts), value=float(a["constant_val"]))
    padded = amounts.nonzero()
    axes = int(padded.max()) // 2 + 1 if len(padded) else 1  # torch takes only as many as it must
    return F.pad(a["x"], integers(amounts[: 2 * axes]), mode=a["mode"])


def _upsample_nearest(a: Arguments) -> Tensor:
    rows = a["x"].repeat_interleave(int(a["scale_factor_height"]), -2)
    return rows.repeat_interleave(int(a["scale_factor_width"]), -1)


OPERATORS: Mapping[str, Callable[[Arguments], Any]] = {
    "concat": lambda a: torch.cat(a["values"], int(a["axis"])),
    "const": lambda a: a["val"],
    "expand_dims": _expand_dims,
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "gather_nd": _gather_nd,
    "pad": _pad,
    "pixel_shuffle": lambda a: F.pixel_shuffle(a["x"], int(a["upscale_factor"])),
    "reshape": _reshape,
    "reverse": lambda a: a["x"].flip(integers(a["axes"])),
    "slice_by_index": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "stack": lambda a: torch.stack(a["values"], int(a["axis"])),
    "tile": lambda a: a["x"].repeat(*integers(a["reps"])),
    "transpose": lambda a: a["x"].permute(integers(a["perm"])),
    "upsample_nearest_neighbor": _upsample_nearest,
}
