"""Operators that move values: shapes, slices, joins."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import types

from fewstep_export.coreml.ops.elementwise import scalar_type
from fewstep_export.coreml.rule import Call, Rule, Value, rank


def _reshape(call: Call) -> Value:
    x, shape = call.operand(0), call.integers(1)
    if not call.attributes.get("allowzero", 0):
        shape = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    if -1 in shape:
        shape[shape.index(-1)] = math.prod(x.shape) // -math.prod(shape)
    return mb.reshape(x=x, shape=shape, name=call.name)


def _transpose(call: Call) -> Value:
    x = call.operand(0)
    return mb.transpose(x=x, perm=call.attributes.get("perm", range(rank(x))[::-1]), name=call.name)


@dataclass(frozen=True)
class _Permutations:
    """The equations of Einsum that move axes and compute nothing, such as a picture's out of its patches."""

    def __contains__(self, equation: object) -> bool:
        given, arrow, wanted = str(equation).replace(" ", "").partition("->")
        return bool(arrow) and given.isalpha() and sorted(given) == sorted(wanted) == sorted(set(given))


def _einsum(call: Call) -> Value:
    given, _, wanted = call.attributes["equation"].replace(" ", "").partition("->")
    return mb.transpose(x=call.operand(0), perm=[given.index(axis) for axis in wanted], name=call.name)


def _unsqueeze(call: Call) -> Value:
    return mb.expand_dims(x=call.operand(0), axes=call.integers(1), name=call.name)


def _squeeze(call: Call) -> Value:
    axes = {} if call.input(1) is None else {"axes": call.integers(1)}
    return mb.squeeze(x=call.operand(0), name=call.name, **axes)


def _flatten(call: Call) -> Value:
    x, axis = call.operand(0), call.attributes.get("axis", 1)
    shape = [math.prod(x.shape[:axis]), math.prod(x.shape[axis:])]
    return mb.reshape(x=x, shape=shape, name=call.name)


def _shape(call: Call) -> Value:
    return np.array(call.inputs[0].shape[call.attributes.get("start", 0) : call.attributes.get("end")])


def _concat(call: Call) -> Value:
    values = [call.operand(i) for i in range(len(call.inputs))]
    return mb.concat(values=values, axis=call.attributes["axis"], name=call.name)


def _split(call: Call) -> Value:
    x, axis = call.operand(0), call.attributes.get("axis", 0)
    if call.outputs == 1:
        return [x]
    part = -(-x.shape[axis] // call.outputs)
    equal = [min(part, x.shape[axis] - i * part) for i in range(call.outputs)]
    sizes = equal if call.input(1) is None else call.integers(1)
    return list(mb.split(x=x, split_sizes=sizes, axis=axis, name=call.name))


def _slice(call: Call) -> Value:
    x = call.operand(0)
    starts, ends = call.integers(1), call.integers(2)
    axes = list(range(len(starts))) if call.input(3) is None else call.integers(3)
    steps = [1] * len(starts) if call.input(4) is None else call.integers(4)
    whole = [slice(0, size, 1) for size in x.shape]
    reversed_axes = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        begin, stop, _ = slice(start, end, step).indices(x.shape[axis])
        if step < 0:  # as the values from stop + 1 on, backwards
            count = len(range(begin, stop, step))
            begin, stop = begin + (count - 1) * step, begin + 1
            reversed_axes.append(axis % rank(x))
        whole[axis] = slice(begin, stop, abs(step))
    name = f"{call.name}_forward" if reversed_axes else call.name
    x = mb.slice_by_index(
        x=x,
        begin=[s.start for s in whole],
        end=[s.stop for s in whole],
        stride=[s.step for s in whole],
        name=name,
    )
    return mb.reverse(x=x, axes=reversed_axes, name=call.name) if reversed_axes else x


def _gather(call: Call) -> Value:
    x, indices, axis = call.operand(0), call.operand(1), call.attributes.get("axis", 0) % rank(call.inputs[0])
    if not isinstance(indices, np.ndarray):
        return mb.gather(x=x, indices=indices, axis=axis, name=call.name)
    indices = np.where(indices < 0, indices + x.shape[axis], indices)
    if indices.ndim:
        return mb.gather(x=x, indices=indices.astype(np.int32), axis=axis, name=call.name)
    begin, end = [0] * rank(x), list(x.shape)  # one known place is a slice
    begin[axis], end[axis] = int(indices), int(indices) + 1
    mask = [i == axis for i in range(rank(x))]
    return mb.slice_by_index(x=x, begin=begin, end=end, squeeze_mask=mask, name=call.name)


def _gather_nd(call: Call) -> Value:
    """MIL gathers no truth values: they pass as integers."""
    x, indices = call.operand(0), call.operand(1)
    if x.dtype not in (types.bool, np.bool_):
        return mb.gather_nd(x=x, indices=indices, batch_dims=0, name=call.name)
    x = mb.cast(x=x, dtype="int32", name=f"{call.name}_numbers")
    taken = mb.gather_nd(x=x, indices=indices, batch_dims=0, name=f"{call.name}_taken")
    return mb.cast(x=taken, dtype="bool", name=call.name)


def _gather_elements(call: Call) -> Value:
    x, indices = call.operand(0), call.operand(1)
    axis = call.attributes.get("axis", 0) % rank(x)
    if isinstance(indices, np.ndarray):
        indices = np.where(indices < 0, indices + x.shape[axis], indices).astype(np.int32)
    return mb.gather_along_axis(x=x, indices=indices, axis=axis, name=call.name)


def _expand(call: Call) -> Value:
    x = call.operand(0)
    shape = np.broadcast_shapes(tuple(x.shape), tuple(call.integers(1)))
    missing = len(shape) - rank(x)
    padded = (1,) * missing + tuple(x.shape)
    if missing:
        x = mb.reshape(x=x, shape=padded, name=f"{call.name}_rank")
    reps = [wanted // found for wanted, found in zip(shape, padded, strict=True)]
    return mb.tile(x=x, reps=reps, name=call.name)


def _pad(call: Call) -> Value:
    x, amounts = call.operand(0), call.integers(1)
    axes = list(range(rank(x))) if call.input(3) is None else call.integers(3)
    pads = np.zeros((rank(x), 2), np.int32)
    pads[axes] = np.reshape(amounts, (2, -1)).T
    if call.attributes.get("mode", "constant") != "constant":
        mode = {"edge": "replicate", "reflect": "reflect"}[call.attributes["mode"]]
        return mb.pad(x=x, pad=pads.reshape(-1), mode=mode, name=call.name)
    filling = 0 if call.input(2) is None else call.constant(2).item()
    return mb.pad(x=x, pad=pads.reshape(-1), constant_val=scalar_type(x)(filling), name=call.name)


RULES: Mapping[str, Rule] = {
    "Concat": Rule(_concat, {"axis": None}),
    "Einsum": Rule(_einsum, {"equation": _Permutations()}),
    "Expand": Rule(_expand, {}, constants=(1,)),
    "Flatten": Rule(_flatten, {"axis": None}),
    "Gather": Rule(_gather, {"axis": None}),
    "GatherElements": Rule(_gather_elements, {"axis": None}),
    "GatherND": Rule(_gather_nd, {"batch_dims": (0,)}),
    "Identity": Rule(lambda call: call.inputs[0], {}),
    "Pad": Rule(_pad, {"mode": ("constant", "edge", "reflect")}, constants=(1, 2, 3)),
    "Reshape": Rule(_reshape, {"allowzero": None}, constants=(1,)),
    "Shape": Rule(_shape, {"start": None, "end": None}),
    "Slice": Rule(_slice, {}, constants=(1, 2, 3, 4)),
    "Split": Rule(_split, {"axis": None, "num_outputs": None}, constants=(1,)),
    "Squeeze": Rule(_squeeze, {}, constants=(1,)),
    "Transpose": Rule(_transpose, {"perm": None}),
    "Unsqueeze": Rule(_unsqueeze, {}, constants=(1,)),
}
