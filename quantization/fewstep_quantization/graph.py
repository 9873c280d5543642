"""What the passes share: constants, shapes, fresh names, and building a graph node by node."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from fewstep.errors import FewstepError

CONTRIB = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""Permutations from (B, C, h, w) to (B, h, w, C) and back."""
Array = npt.NDArray[Any]
Shape = tuple[int | str, ...]
"""Sizes; a name stands for a free one."""


class Rewriter:
    """A graph that is written anew, node by node in order of execution.

    Args:
        model: the graph; it is not changed. Its weights must be inside it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.old_nodes: Sequence[onnx.NodeProto] = model.graph.node
        self.nodes: list[onnx.NodeProto] = []
        self.constants = constants(model)
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._infos = {value.name: value for value in inferred.value_info}
        self.shapes = _shapes(inferred)
        self.uses = Counter(name for node in self.old_nodes for name in node.input)
        self.uses.update(value.name for value in model.graph.output)
        self._names = {*self.shapes, *self.constants, *(n for node in self.old_nodes for n in node.output)}
        self._added: dict[str, Array] = {}
        self._opset_contrib = False

    def keep(self, node: onnx.NodeProto) -> None:
        """Takes a node over as it is."""
        self.nodes.append(node)

    def add(
        self, op: str, inputs: Sequence[str], output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """Appends a node with one output; returns the output's name, a fresh one if none is given."""
        name = output or self.fresh(f"{inputs[0]}_{op}")
        self._opset_contrib |= domain == CONTRIB
        node = helper.make_node(op, list(inputs), [name], name=f"{name}/{op}", domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, value: Array, hint: str) -> str:
        """Adds a constant; returns its name."""
        name = self.fresh(hint)
        self._added[name] = self.constants[name] = value
        self.shapes[name] = value.shape
        return name

    def fresh(self, hint: str) -> str:
        """A name that no tensor has yet."""
        name, count = hint, 1
        while name in self._names:
            name, count = f"{hint}_{count}", count + 1
        self._names.add(name)
        return name

    def rank(self, name: str) -> int | None:
        """The rank of a tensor, None where it is unknown."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)

    def model(self) -> onnx.ModelProto:
        """The new graph; constants that nobody reads any more are gone."""
        used = {name for node in self.nodes for name in node.input} | {
            value.name for value in self._model.graph.output
        }
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        kept = [tensor for tensor in self._model.graph.initializer if tensor.name in used]
        added = [numpy_helper.from_array(v, name) for name, v in self._added.items() if name in used]
        del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
        result.graph.node.extend(self.nodes)
        # What is known already: ONNX's own inference ends at the operators of ONNX Runtime.
        made = [name for node in self.nodes for name in node.output if name in self._infos]
        result.graph.value_info.extend(self._infos[name] for name in made)
        result.graph.initializer.extend(kept + added)
        if self._opset_contrib and not any(entry.domain == CONTRIB for entry in result.opset_import):
            result.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        return result


def constants(model: onnx.ModelProto) -> dict[str, Array]:
    """The constants of a graph by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def load(path: Path) -> onnx.ModelProto:
    """Reads a graph with its weights.

    Raises:
        FewstepError: the file holds no graph.
    """
    try:
        return onnx.load(path)
    except Exception as error:  # noqa: BLE001 - protobuf's and onnx's exceptions share no base class
        raise FewstepError(
            f"expected an ONNX graph, found something else ({type(error).__name__}), in {path}; export the bundle again"
        ) from None


def shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """The shapes of all tensors, by name, as far as they can be inferred."""
    return _shapes(onnx.shape_inference.infer_shapes(model).graph)


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    known: dict[str, Shape] = {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param
            for dim in value.type.tensor_type.shape.dim
        )
        for value in [*graph.value_info, *graph.input, *graph.output]
        if value.type.tensor_type.HasField("shape")
    }
    known.update({tensor.name: tuple(tensor.dims) for tensor in graph.initializer})
    return known


def without_dead_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without nodes and constants that no output needs."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(reversed(kept))
    result.graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    return result


def is_scalar(value: Array | None) -> bool:
    """Whether a constant has one element and so no layout."""
    return value is not None and value.size == 1 and np.ndim(value) <= 1
