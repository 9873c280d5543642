"""Constant target shapes for Reshape and Expand."""

import numpy as np
import onnx_ir as ir


class FreezeReshapes(ir.passes.InPlacePass):
    """Gives Reshape and Expand a constant shape where only the batch is free.

    The exporter computes shapes at run time, from Shape of an input; on phones those few integers cost a trip from the accelerator to
    the CPU and back.

    1. A Reshape whose output has one free dimension gets -1 there; with none free, its shape is constant anyway.
    2. An Expand whose output and input both have their first dimension free, and the others fixed, gets 1 there: it then stays as it is.
    3. Everything else is left alone. The nodes that computed the shape become unused: fold and sweep afterwards.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            shape = _frozen_shape(node)
            if shape is None or (node.inputs[1] is not None and node.inputs[1].const_value is not None):
                continue
            name = f"{node.outputs[0].name}.shape"
            tensor = ir.tensor(np.array(shape, dtype=np.int64), name=name)
            value = ir.Value(
                name=name,
                shape=ir.Shape([len(shape)]),
                type=ir.TensorType(ir.DataType.INT64),
                const_value=tensor,
            )
            model.graph.register_initializer(value)
            node.replace_input_with(1, value)
            modified = True
        return ir.passes.PassResult(model, modified)


def _frozen_shape(node: ir.Node) -> list[int] | None:
    if node.op_type not in ("Reshape", "Expand") or node.outputs[0].shape is None:
        return None
    shape = node.outputs[0].shape
    free = [i for i, size in enumerate(shape) if not isinstance(size, int)]
    if node.op_type == "Expand":
        source = node.inputs[0].shape if node.inputs[0] is not None else None
        stays = source is not None and len(source) == len(shape) and not isinstance(source[0], int)
        return (
            [1, *(size for size in list(shape)[1:] if isinstance(size, int))]
            if free == [0] and stays
            else None
        )
    return [size if isinstance(size, int) else -1 for size in shape] if len(free) == 1 else None
