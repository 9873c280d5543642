"""Convolutions without a bias stay without one."""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common


class DropZeroBias(ir.passes.InPlacePass):
    """Removes the bias of a Conv if it is constant and every value of it is 0; the exporter makes one where torch has none."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in model.graph:
            if node.op_type == "Conv" and len(node.inputs) > 2 and _is_zero(node.inputs[2]):
                node.resize_inputs(2)
                modified = True
        swept = common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(swept.model, modified or swept.modified)


def _is_zero(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and not np.any(value.const_value.numpy())
