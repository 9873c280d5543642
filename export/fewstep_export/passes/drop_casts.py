"""Casts from a type to itself."""

import onnx_ir as ir
from onnx_ir.passes import common


class DropCasts(ir.passes.InPlacePass):
    """Removes every Cast and CastLike whose result has the type of its input; the exporter writes CastLike after each Python number."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in model.graph:
            value = node.inputs[0] if node.op_type in ("Cast", "CastLike") else None
            if value is None or value.dtype is None or value.dtype != node.outputs[0].dtype:
                continue
            if node.outputs[0].is_graph_output():
                continue  # its name is part of the interface
            ir.convenience.replace_all_uses_with(node.outputs[0], value)
            modified = True
        swept = common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(swept.model, modified or swept.modified)
