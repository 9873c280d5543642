"""Attention as one node, which ONNX has from opset 23 on."""

import math
from collections.abc import Mapping

from coremltools.converters.mil import Builder as mb  # noqa: N813

from fewstep_export.coreml.ops.elementwise import scalar_type
from fewstep_export.coreml.rule import Call, Rule, Value

_MASK = 3  # among the inputs


def _attention(call: Call) -> Value:
    """softmax(scale q k^T + mask) v of (B, heads, S, D); iOS 18 has it as one operator, whose scale is fixed."""
    query, key, value = (call.operand(i) for i in range(3))
    usual = 1 / math.sqrt(query.shape[-1])
    scale = float(call.attributes.get("scale", usual))
    mask = None if call.input(_MASK) is None else call.operand(_MASK)
    if call.ios18:
        ratio = scale / usual
        if abs(ratio - 1) > 1e-6:
            query = mb.mul(x=query, y=scalar_type(query)(ratio), name=f"{call.name}_scaled")
        masked = {} if mask is None else {"attn_mask": mask}
        return mb.scaled_dot_product_attention(query=query, key=key, value=value, name=call.name, **masked)
    scaled = mb.mul(x=query, y=scalar_type(query)(scale), name=f"{call.name}_scaled")
    scores = mb.matmul(x=scaled, y=key, transpose_y=True, name=f"{call.name}_scores")
    if mask is not None:
        scores = mb.add(x=scores, y=mask, name=f"{call.name}_masked")
    return mb.matmul(x=mb.softmax(x=scores, axis=-1, name=f"{call.name}_weights"), y=value, name=call.name)


_ATTRIBUTES: Mapping[str, tuple[object, ...] | None] = {
    "is_causal": (0,),
    "qk_matmul_output_mode": (0,),
    "scale": None,
    "softcap": (0.0,),
    "softmax_precision": (1,),
}
RULES: Mapping[str, Rule] = {"Attention": Rule(_attention, _ATTRIBUTES)}
