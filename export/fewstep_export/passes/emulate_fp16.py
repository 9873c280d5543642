"""What an FP16 graph computes on a device that has FP16, for machines that have not.

ONNX Runtime has no FP16 kernels for x86: it computes an FP16 graph in FP32, from end to end, so that there is neither rounding between
nodes nor overflow. A graph verified like that is verified for no phone.
"""

import numpy as np
import onnx_ir as ir

from fewstep_export.passes.fp16 import LAYOUT_OPS
from fewstep_export.passes.lazy_tensor import Array, converted

_HALF, _FULL = ir.DataType.FLOAT16, ir.DataType.FLOAT
_MARK = "fewstep.rounding"  # on the Casts that round, so that a second pass leaves them alone


class EmulateFp16(ir.passes.InPlacePass):
    """Turns an FP16 graph into an FP32 graph with the same values.

    1. Every FP16 tensor becomes float32 and holds the values it had; a node adds up in FP32 and its result is rounded to FP16 by a
       pair of Casts, to infinity where it overflows. That is what matrix units with FP32 accumulators do.
    2. A Cast to FP16 becomes such a pair, a Cast from FP16 becomes an Identity; layout nodes round nothing.
    3. A tensor keeps its name after rounding; before rounding it is NAME.exact.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for value in model.graph.initializers.values():
            if value.dtype == _HALF and value.const_value is not None:
                value.const_value = converted(value.const_value, _to_float, str(value.name), _FULL)
                value.dtype = _FULL
                modified = True
        for node in list(model.graph):
            modified |= _emulate(node, model.graph)
        return ir.passes.PassResult(model, modified)


def _to_float(values: Array) -> Array:
    return values.astype(np.float32)


def _emulate(node: ir.Node, graph: ir.Graph) -> bool:
    if node.metadata_props.get(_MARK):
        return False
    if node.op_type == "Cast" and node.outputs[0].dtype == _FULL:
        widening = node.inputs[0] is not None and node.inputs[0].dtype == _FULL
        if widening:
            node.op_type = "Identity"
            node.attributes.clear()
        return widening
    halves = [value for value in node.outputs if value.dtype == _HALF]
    for value in halves:
        value.dtype = _FULL
        if node.op_type not in LAYOUT_OPS:
            _round(node, value, graph)
    if node.op_type == "Cast" and halves:
        _cast_to_full(node)
    return bool(halves)


def _cast_to_full(node: ir.Node) -> None:
    """Makes a Cast to FP16 one to FP32: nothing for a number with a fraction, which is FP32 here already."""
    source = node.inputs[0]
    if source is not None and source.dtype == _FULL:
        node.op_type = "Identity"
        node.attributes.clear()
    else:
        node.attributes["to"] = ir.AttrInt64("to", _FULL.value)


def _round(node: ir.Node, value: ir.Value, graph: ir.Graph) -> None:
    """Inserts Cast to FP16 and Cast back behind an output of the node; the second Cast takes over the name."""
    name = value.name
    rounded = ir.Value(name=name, shape=value.shape, type=ir.TensorType(_FULL))
    half = ir.Value(name=f"{name}.half", shape=value.shape, type=ir.TensorType(_HALF))
    value.replace_all_uses_with(rounded, replace_graph_outputs=True)
    value.name = f"{name}.exact"
    facts = {**node.metadata_props, _MARK: "1"}
    down = ir.node("Cast", [value], {"to": _HALF.value}, outputs=[half], metadata_props=facts)
    up = ir.node("Cast", [half], {"to": _FULL.value}, outputs=[rounded], metadata_props=facts)
    down.name, up.name = (f"{node.name or name}.{kind}" for kind in ("half", "rounded"))
    graph.insert_after(node, [down, up])
