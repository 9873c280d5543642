"""FP16 with FP32 islands: where FP16 overflows, and where the timestep becomes sines.

Two nodes of an island hand their tensor on in FP32. (`onnxruntime.transformers.float16` casts it to FP16 and back between them, so that a
value that overflows does so there.) Inputs and outputs stay FP32.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from fewstep_quantization.calibration.peak import float_tensors
from fewstep_quantization.graph import Rewriter

FLOAT, HALF = int(onnx.TensorProto.FLOAT), int(onnx.TensorProto.FLOAT16)
_FLOAT_INPUTS: Mapping[str, tuple[int, ...]] = {"Resize": (1, 2)}
"""Inputs that an operator wants in FP32 whatever its data are."""
_NO_FLOAT_INPUT = frozenset({"ConstantOfShape", "RandomNormal", "Range", "DequantizeLinear"})
_SMALLEST = 6e-8
"""Half of it would round to 0, and a division by it to infinity."""


def to_half(model: onnx.ModelProto, large: Collection[str] = ()) -> onnx.ModelProto:
    """The graph in FP16.

    Args:
        model: an FP32 graph.
        large: tensors that FP16 cannot hold; the nodes that make or read them stay FP32.
    """
    return _ToHalf(model, frozenset(large)).run()


def island(model: onnx.ModelProto, large: Collection[str]) -> frozenset[str]:
    """The nodes that stay FP32, by their first output: those around large tensors, and all in front of a sine or a cosine."""
    makers = {name: node for node in model.graph.node for name in node.output}
    kept = {
        node.output[0]
        for node in model.graph.node
        if node.op_type in _NO_FLOAT_INPUT or not {*node.input, *node.output}.isdisjoint(large)
    }
    todo = [node for node in model.graph.node if node.op_type in ("Sin", "Cos")]
    while todo:
        node = todo.pop()
        if node.output[0] not in kept:
            kept.add(node.output[0])
            todo += [makers[name] for name in node.input if name in makers]
    return frozenset(kept)


class _ToHalf:
    """One walk through the graph; `_versions` names a tensor in either type, made when first asked for."""

    def __init__(self, model: onnx.ModelProto, large: frozenset[str]) -> None:
        self._graph = Rewriter(model)
        self._full = island(model, large)
        self._inputs = {v.name for v in model.graph.input if v.type.tensor_type.elem_type == FLOAT}
        self._outputs = [v.name for v in model.graph.output if v.type.tensor_type.elem_type == FLOAT]
        self._floats = {*float_tensors(model), *self._inputs}
        self._versions: dict[tuple[str, int], str] = {(name, FLOAT): name for name in self._inputs}

    def run(self) -> onnx.ModelProto:
        for node in self._graph.old_nodes:
            self._node(node, FLOAT if node.output[0] in self._full else HALF)
        for name in self._outputs:
            if self._versions[name, FLOAT] != name:
                self._graph.add("Identity", [self._versions[name, FLOAT]], name)
        result = self._graph.model()
        del result.graph.value_info[:]  # the types have changed
        return result

    def _node(self, node: onnx.NodeProto, kind: int) -> None:
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        for place, name in enumerate(node.input):
            asked = FLOAT if place in _FLOAT_INPUTS.get(node.op_type, ()) else kind
            moved.input[place] = self._as(name, asked)
        for place, name in enumerate(node.output):
            if name not in self._floats:
                continue
            moved.output[place] = self._graph.fresh(f"{name}_half") if kind == HALF else name
            self._versions[name, kind] = moved.output[place]
        if node.op_type == "Cast":
            for attribute in moved.attribute:
                if attribute.name == "to" and attribute.i == FLOAT:
                    attribute.i = kind
        self._graph.keep(moved)
        for name in node.output:
            if name in self._outputs:
                self._versions[name, FLOAT] = self._as(name, FLOAT)

    def _as(self, name: str, kind: int) -> str:
        """The name of a tensor in this type; what is no FP32 tensor stays."""
        constant = self._graph.constants.get(name)
        if constant is not None and constant.dtype == np.float32:
            return name if kind == FLOAT else self._half_constant(name, constant)
        if name not in self._floats:
            return name
        if (name, kind) not in self._versions:
            source = self._versions[name, HALF if kind == FLOAT else FLOAT]
            hint = f"{name}_{'float' if kind == FLOAT else 'half'}"
            self._versions[name, kind] = self._graph.add("Cast", [source], self._graph.fresh(hint), to=kind)
        return self._versions[name, kind]

    def _half_constant(self, name: str, value: np.ndarray) -> str:
        key = (name, HALF)
        if key not in self._versions:
            lifted = np.where((value != 0) & (np.abs(value) < _SMALLEST), np.sign(value) * _SMALLEST, value)
            self._versions[key] = self._graph.constant(lifted.astype(np.float16), f"{name}_half")
        return self._versions[key]
