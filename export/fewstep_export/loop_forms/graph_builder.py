"""Builds an ONNX graph out of operators and of whole graphs; a graph that is inlined twice shares its weights."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from fewstep_export.onnx_export import OPSET, check

FLOAT = ir.DataType.FLOAT


class GraphBuilder:
    """An ONNX model in the making; values are handed from one call to the next."""

    def __init__(self, name: str) -> None:
        self._graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name=name)
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str], dtype: ir.DataType = FLOAT) -> ir.Value:
        """A new input; a name in the shape is a free dimension."""
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        self._graph.inputs.append(value)
        return value

    def output(self, value: ir.Value, name: str, shape: Sequence[int | str]) -> None:
        """Declares a float32 value to be an output."""
        result = self.op("Identity", value)
        result.name, result.shape, result.type = name, ir.Shape(shape), ir.TensorType(FLOAT)
        self._graph.outputs.append(result)

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> ir.Value:
        """A constant tensor."""
        return self._weight(self._fresh("constant"), ir.tensor(np.asarray(value, dtype=dtype)))

    def op(self, op_type: str, *inputs: ir.Value, **attributes: float | str | Sequence[int]) -> ir.Value:
        """The first output of a new operator."""
        return self.ops(op_type, *inputs, outputs=1, **attributes)[0]

    def ops(
        self, op_type: str, *inputs: ir.Value, outputs: int, **attributes: float | str | Sequence[int]
    ) -> list[ir.Value]:
        """All outputs of a new operator."""
        name = self._fresh(op_type)
        results = [ir.Value(name=f"{name}.{i}") for i in range(outputs)]
        attrs = [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()]
        self._graph.append(ir.Node("", op_type, inputs, attrs, outputs=results, name=name))
        return results

    def inline(
        self, graph: ir.Graph, feeds: Mapping[str, ir.Value], component: str, scope: str
    ) -> Mapping[str, ir.Value]:
        """Copies a graph's nodes and returns its outputs by name.

        Args:
            graph: what to copy; it stays as it is.
            feeds: a value for each of its inputs.
            component: prefix of its weights, which all copies of one component share.
            scope: prefix of its other values, different for each copy.

        Raises:
            KeyError: an input has no feed.
        """
        for domain, version in graph.opset_imports.items():  # ONNX Runtime's own in quantised graphs
            self._graph.opset_imports.setdefault(domain, version)
        known: dict[ir.Value | None, ir.Value | None] = {None: None}
        for value in graph.inputs:
            known[value] = feeds[str(value.name)]
        for name, value in graph.initializers.items():
            assert value.const_value is not None  # an initializer without a value is no initializer
            known[value] = self._weight(f"{component}.{name}", value.const_value)
        for node in graph:
            results = [ir.Value(name=f"{scope}.{value.name}", type=value.type) for value in node.outputs]
            inputs = [known[value] for value in node.inputs]
            attributes = list(node.attributes.values())
            name = f"{scope}.{node.name or results[0].name}"  # two without one would have the same
            self._graph.append(
                ir.Node(node.domain, node.op_type, inputs, attributes, outputs=results, name=name)
            )
            known.update(zip(node.outputs, results, strict=True))
        return {str(value.name): found for value in graph.outputs if (found := known[value]) is not None}

    def build(self) -> onnx.ModelProto:
        """The finished model, its shapes inferred and checked."""
        model = ir.Model(self._graph, ir_version=10, producer_name="fewstep")
        result = ir.serde.serialize_model(ShapeInferencePass()(model).model)
        check(result)
        return result

    def _weight(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        if name not in self._graph.initializers:
            own = ir.Tensor(
                tensor.numpy(), dtype=tensor.dtype, name=name
            )  # a value renames its tensor: not the caller's
            kind = ir.TensorType(tensor.dtype)
            self._graph.register_initializer(ir.Value(name=name, shape=own.shape, type=kind, const_value=own))
        return self._graph.initializers[name]

    def _fresh(self, what: str) -> str:
        self._count += 1
        return f"loop.{what}.{self._count}"


def batched_shape(value: ir.Value) -> list[int | str]:
    """("batch", ...) with the fixed sizes of an exported network's input or output."""
    assert value.shape is not None
    return ["batch", *(size for size in list(value.shape)[1:] if isinstance(size, int))]
