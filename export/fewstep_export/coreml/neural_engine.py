"""The layout that the Neural Engine likes, after the principles that Apple published ("Deploying Transformers on the Apple Neural Engine", 2022).

Tokens (B, S, C) are kept as maps (B, C, 1, S), linear layers become 1x1 convolutions, layer norms go over the channels of the map, and
attention is computed head by head. Every value that such an operator gives is emitted in both forms, and what nobody reads is
removed by coremltools' passes: chains of operators that know the form stay in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Var, types

from fewstep_export.coreml.ops import RULES
from fewstep_export.coreml.rule import Call, Value, rank

_UNARY = frozenset({"Cast", "Gelu", "Identity", "Relu", "Sigmoid", "Softplus", "Tanh"})
_BINARY = frozenset({"Add", "Div", "Mul", "Sub"})
_TOKENS = 3  # axes of (B, S, C)
_HEADS = 4  # axes of (B, heads, S, D)


class Forms:
    """The values that are known as maps, or head by head, by their ONNX names."""

    def __init__(self) -> None:
        self._maps: dict[str, Var] = {}
        self._heads: dict[str, Sequence[Var]] = {}

    def lower(self, node: onnx.NodeProto, call: Call) -> Var | None:
        """Emits a node in these forms and returns its plain output; None where it has no such form."""
        if node.op_type == "MatMul":
            return self._linear(node, call) if rank(call.inputs[0]) == _TOKENS else self._per_head(node, call)
        if node.op_type == "LayerNormalization":
            return self._norm(node, call)
        if node.op_type == "Softmax":
            return self._softmax(node, call)
        if node.op_type in _UNARY | _BINARY:
            return self._elementwise(node, call)
        return None

    def _linear(self, node: onnx.NodeProto, call: Call) -> Var | None:
        x, weight = call.inputs
        if not isinstance(weight, np.ndarray) or weight.ndim != 2 or not isinstance(x, Var):
            return None  # weights of eight bits have no such form here
        kernel = np.ascontiguousarray(weight.T)[:, :, None, None]
        return self._keep_map(
            node, call, mb.conv(x=self._map(node.input[0], x), weight=kernel, name=f"{call.name}_map")
        )

    def _norm(self, node: onnx.NodeProto, call: Call) -> Var | None:
        x = self._maps.get(node.input[0])
        if x is None or call.attributes.get("axis", -1) % _TOKENS != _TOKENS - 1:
            return None
        epsilon = types.nptype_from_builtin(x.dtype)(call.attributes.get("epsilon", 1e-5))
        beta = {} if call.input(2) is None else {"beta": call.constant(2)}
        normed = mb.layer_norm(
            x=x, axes=[1], gamma=call.constant(1), epsilon=epsilon, name=f"{call.name}_map", **beta
        )
        return self._keep_map(node, call, normed)

    def _elementwise(self, node: onnx.NodeProto, call: Call) -> Var | None:
        if any(name in self._maps for name in node.input):
            operands = self._beside(node, call, self._as_map, 0)
            return (
                None
                if operands is None
                else self._keep_map(node, call, _emit(call, operands, f"{call.name}_map"))
            )
        count = max(len(self._heads.get(name, ())) for name in node.input)
        rows = [self._beside(node, call, self._as_head, i) for i in range(count)]
        parts = [_emit(call, row, f"{call.name}_head{i}") for i, row in enumerate(rows) if row is not None]
        return self._keep_heads(node, call, parts) if parts and len(parts) == count else None

    def _beside(
        self, node: onnx.NodeProto, call: Call, form: Callable[[str, Value, int], Value], part: int
    ) -> Sequence[Value] | None:
        """All operands in a form; None if one has none."""
        operands = [form(name, value, part) for name, value in zip(node.input, call.inputs, strict=True)]
        return None if any(operand is None for operand in operands) else operands

    def _per_head(self, node: onnx.NodeProto, call: Call) -> Var | None:
        x, y = call.inputs
        if not (isinstance(x, Var) and isinstance(y, Var)) or not rank(x) == rank(y) == _HEADS:
            return None
        if x.shape[1] != y.shape[1] or x.shape[1] == 1:
            return None
        pairs = zip(self._split(node.input[0], x), self._split(node.input[1], y), strict=True)
        parts = [mb.matmul(x=a, y=b, name=f"{call.name}_head{i}") for i, (a, b) in enumerate(pairs)]
        return self._keep_heads(node, call, parts)

    def _softmax(self, node: onnx.NodeProto, call: Call) -> Var | None:
        heads, axis = self._heads.get(node.input[0]), call.attributes.get("axis", -1) % _HEADS
        if heads is None or axis == 1:
            return None
        parts = [mb.softmax(x=head, axis=axis, name=f"{call.name}_head{i}") for i, head in enumerate(heads)]
        return self._keep_heads(node, call, parts)

    def _map(self, name: str, x: Var) -> Var:
        """The value (B, S, C) as (B, C, 1, S)."""
        if name not in self._maps:
            self._maps[name] = mb.expand_dims(x=mb.transpose(x=x, perm=[0, 2, 1]), axes=[2])
        return self._maps[name]

    def _as_map(self, name: str, value: Value, _part: int) -> Value:
        """An operand beside a map: a map, or a constant or a value for each channel or for all; None if it is neither."""
        if isinstance(value, Var):
            return self._map(name, value) if rank(value) == _TOKENS else (value if rank(value) == 0 else None)
        if np.ndim(value) in (0, 1) or (np.ndim(value) == _TOKENS and np.shape(value)[:2] == (1, 1)):
            return value if np.size(value) == 1 else np.reshape(value, (1, -1, 1, 1))
        return None

    def _split(self, name: str, x: Var) -> Sequence[Var]:
        if name not in self._heads:
            self._heads[name] = mb.split(x=x, num_splits=x.shape[1], axis=1)
        return self._heads[name]

    def _as_head(self, name: str, value: Value, part: int) -> Value:
        """An operand beside one head: that head of the other value, or what is the same for all heads."""
        if name in self._heads:
            return self._heads[name][part]
        if rank(value) < _HEADS - 1 or (rank(value) == _HEADS and value.shape[1] == 1):
            return value
        return None

    def _keep_map(self, node: onnx.NodeProto, call: Call, value: Var) -> Var:
        self._maps[node.output[0]] = value
        return mb.transpose(x=mb.squeeze(x=value, axes=[2]), perm=[0, 2, 1], name=call.name)

    def _keep_heads(self, node: onnx.NodeProto, call: Call, parts: Sequence[Var]) -> Var:
        self._heads[node.output[0]] = parts
        return mb.concat(values=parts, axis=1, name=call.name)


def _emit(call: Call, operands: Sequence[Value], name: str) -> Var:
    """The node's own operator on other operands."""
    return RULES[call.operator].lower(replace(call, name=name, inputs=tuple(operands)))
