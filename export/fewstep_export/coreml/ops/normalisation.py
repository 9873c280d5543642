"""Norms, reductions and the softmax."""

import math
from collections.abc import Mapping

from coremltools.converters.mil import Builder as mb  # noqa: N813

from fewstep_export.coreml.ops.elementwise import scalar_type
from fewstep_export.coreml.rule import Call, Lower, Rule, Value, rank

_REDUCTIONS = {
    "ReduceMax": "reduce_max",
    "ReduceMean": "reduce_mean",
    "ReduceMin": "reduce_min",
    "ReduceSum": "reduce_sum",
}
_REDUCTION: Mapping[str, tuple[object, ...] | None] = {"keepdims": (0, 1), "noop_with_empty_axes": (0,)}


def _reduce(operator: str) -> Lower:
    def lower(call: Call) -> Value:
        axes = {} if call.input(1) is None else {"axes": call.integers(1)}
        keep = bool(call.attributes.get("keepdims", 1))
        return getattr(mb, operator)(x=call.operand(0), keep_dims=keep, name=call.name, **axes)

    return lower


def _softmax(call: Call) -> Value:
    return mb.softmax(x=call.operand(0), axis=call.attributes.get("axis", -1), name=call.name)


def _layer_norm(call: Call) -> Value:
    x = call.operand(0)
    axes = list(range(call.attributes.get("axis", -1) % rank(x), rank(x)))
    epsilon = scalar_type(x)(call.attributes.get("epsilon", 1e-5))
    beta = {} if call.input(2) is None else {"beta": call.constant(2)}
    return mb.layer_norm(x=x, axes=axes, gamma=call.constant(1), epsilon=epsilon, name=call.name, **beta)


def _rms_norm(call: Call) -> Value:
    x, name = call.operand(0), call.name
    axes = list(range(call.attributes.get("axis", -1) % rank(x), rank(x)))
    epsilon = scalar_type(x)(call.attributes.get("epsilon", 1e-5))
    mean = mb.reduce_mean(
        x=mb.square(x=x, name=f"{name}_square"), axes=axes, keep_dims=True, name=f"{name}_mean"
    )
    root = mb.sqrt(x=mb.add(x=mean, y=epsilon, name=f"{name}_shifted"), name=f"{name}_root")
    return mb.mul(x=mb.real_div(x=x, y=root, name=f"{name}_normed"), y=call.constant(1), name=name)


def _group_norm(call: Call) -> Value:
    """One norm over all of a group: its own sums of squares would leave FP16 above 255."""
    x, name = call.operand(0), call.name
    groups, shape = call.attributes["num_groups"], x.shape
    rows = mb.reshape(x=x, shape=[shape[0] * groups, math.prod(shape[1:]) // groups], name=f"{name}_rows")
    epsilon = scalar_type(x)(call.attributes.get("epsilon", 1e-5))
    normed = mb.layer_norm(x=rows, axes=[1], epsilon=epsilon, name=f"{name}_norm")
    normed = mb.reshape(x=normed, shape=shape, name=f"{name}_normed")
    scale, bias = (call.constant(i).reshape(-1, *[1] * (rank(x) - 2)) for i in (1, 2))
    return mb.add(x=mb.mul(x=normed, y=scale, name=f"{name}_scaled"), y=bias, name=name)


def _instance_norm(call: Call) -> Value:
    x = call.operand(0)
    epsilon = scalar_type(x)(call.attributes.get("epsilon", 1e-5))
    return mb.instance_norm(
        x=x, gamma=call.constant(1), beta=call.constant(2), epsilon=epsilon, name=call.name
    )


def _cumsum(call: Call) -> Value:
    axis = call.constant(1).item() % rank(call.inputs[0])
    exclusive, reverse = (bool(call.attributes.get(name, 0)) for name in ("exclusive", "reverse"))
    return mb.cumsum(x=call.operand(0), axis=axis, exclusive=exclusive, reverse=reverse, name=call.name)


def _argmax(call: Call) -> Value:
    keep = bool(call.attributes.get("keepdims", 1))
    axis = call.attributes.get("axis", 0)
    return mb.reduce_argmax(x=call.operand(0), axis=axis, keep_dims=keep, name=call.name)


RULES: Mapping[str, Rule] = {
    **{name: Rule(_reduce(operator), _REDUCTION, constants=(1,)) for name, operator in _REDUCTIONS.items()},
    "ArgMax": Rule(_argmax, {"axis": None, "keepdims": (0, 1), "select_last_index": (0,)}),
    "CumSum": Rule(_cumsum, {"exclusive": (0,), "reverse": (0, 1)}, constants=(1,)),
    "GroupNormalization": Rule(
        _group_norm, {"epsilon": None, "num_groups": None, "stash_type": (1,)}, constants=(1, 2)
    ),
    "InstanceNormalization": Rule(_instance_norm, {"epsilon": None}, constants=(1, 2)),
    "LayerNormalization": Rule(
        _layer_norm, {"axis": None, "epsilon": None, "stash_type": (1,)}, constants=(1, 2)
    ),
    "RMSNormalization": Rule(_rms_norm, {"axis": None, "epsilon": None, "stash_type": (1,)}, constants=(1,)),
    "Softmax": Rule(_softmax, {"axis": None}),
}
