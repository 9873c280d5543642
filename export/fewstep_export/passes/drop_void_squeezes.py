"""Squeezes that squeeze nothing."""

import onnx_ir as ir
from onnx_ir.passes import common


class DropVoidSqueezes(ir.passes.InPlacePass):
    """Removes every Squeeze of one axis whose size is another than 1.

    In torch it does nothing, in ONNX it is an error; the exporter translates the one to the other.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in model.graph:
            value = node.inputs[0] if node.op_type == "Squeeze" else None
            if value is None or not _is_void(node, value) or node.outputs[0].is_graph_output():
                continue
            ir.convenience.replace_all_uses_with(node.outputs[0], value)
            modified = True
        swept = common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(swept.model, modified or swept.modified)


def _is_void(node: ir.Node, value: ir.Value) -> bool:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if axes is None or axes.const_value is None or value.shape is None:
        return False
    (axis,) = axes.const_value.numpy().reshape(-1)[:1]
    size = value.shape[int(axis)]
    return axes.const_value.size == 1 and isinstance(size, int) and size != 1
