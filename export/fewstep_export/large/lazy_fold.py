"""Transposed weights without a transposed copy in memory: computed when the file is written, one at a time."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from fewstep_export.passes.lazy_tensor import Array, lazy


class LazyFold(ir.passes.InPlacePass):
    """Folds Transpose, Unsqueeze and Identity of a weight into the weight, lazily.

    The weight's values are not looked at: its initializer becomes an `ir.LazyTensor` that reads, and then transposes, when it is
    asked. A weight that others use too stays beside its new form.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            weight = node.inputs[0] if node.inputs else None
            change = _CHANGES.get(node.op_type)
            if change is None or weight is None or weight.const_value is None:
                continue
            action = change(node)
            if action is None:
                continue
            _replace(model.graph, node, lazy(weight.const_value, action, f"{node.outputs[0].name}"))
            modified = True
        return ir.passes.PassResult(model, modified)


def _replace(graph: ir.Graph, node: ir.Node, tensor: ir.LazyTensor) -> None:
    """Puts an initializer in the place of the node."""
    old = node.outputs[0]
    name = str(old.name)
    value = ir.Value(
        name=f"{name}.folded", shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _transpose(node: ir.Node) -> Callable[[Array], Array] | None:
    order = node.attributes.get("perm")
    axes = tuple(order.as_ints()) if order is not None else None
    return lambda x: np.transpose(x, axes)


def _unsqueeze(node: ir.Node) -> Callable[[Array], Array] | None:
    axes = node.inputs[1].const_value if node.inputs[1] is not None else None
    return None if axes is None else lambda x: np.expand_dims(x, tuple(axes.numpy().tolist()))


def _identity(node: ir.Node) -> Callable[[Array], Array] | None:
    return lambda x: x


_CHANGES: dict[str, Callable[[ir.Node], Callable[[Array], Array] | None]] = {
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Identity": _identity,
}
