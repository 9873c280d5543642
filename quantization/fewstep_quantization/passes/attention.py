"""Softmax attention as one `com.microsoft.MultiHeadAttention`, which reads rows of channels as the integer products write them.

Exporters write heads as Reshape and Transpose around MatMul, Softmax and MatMul, each in its own way. What such a chain does to a
tensor is found by trying it on numbers that count up: it is a split into heads if they come out in that order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from fewstep_quantization.graph import CONTRIB, Array, Rewriter, attributes, is_scalar, without_dead_nodes

FEWEST_KEYS = 128
"""From so many on it is used, by measurement (1 thread, all layers of a network together).

1024 keys (U-Net, 72 M): 63 ms where the single steps take 74. 256 keys (DiT, 40 M): 14.0 against 16.4. 32 keys (emoji-128): 4.3 against 3.3.
"""
_BATCH = 2
"""Stands in for a free batch while a chain is tried; more than 1, so that it cannot be mistaken for an axis of size 1."""
_ROWS, _KEYS = (0, 2, 1, 3), (0, 2, 3, 1)
"""From (B, N, heads, d) to (B, heads, N, d), and to (B, heads, d, N)."""


@dataclass(frozen=True)
class _Match:
    """The rows (B, N, C) that are read and written, the heads, the scale of the scores, and what is added to them."""

    rows: tuple[str, str, str]
    output: str
    heads: int
    scale: float
    bias: str | None
    queries: int


def fuse_attention(model: onnx.ModelProto, fewest_keys: int = FEWEST_KEYS) -> onnx.ModelProto:
    """The same function with its softmax attention over so many keys or more fused; attention of another form stays as it is."""
    graph = Rewriter(model)
    makers = {name: node for node in graph.old_nodes for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.old_nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    softmaxes = [node for node in graph.old_nodes if node.op_type == "Softmax"]
    found = [
        match
        for node in softmaxes
        if (match := _match(node, makers, readers, graph, fewest_keys)) is not None
    ]
    if not found:
        return model
    results, biases = {match.output: match for match in found}, dict[tuple[str, int], str]()
    for node in graph.old_nodes:
        if (match := results.get(node.output[0])) is not None:
            _write(graph, match, biases)
        else:
            graph.keep(node)
    return without_dead_nodes(graph.model())


def _write(graph: Rewriter, match: _Match, biases: dict[tuple[str, int], str]) -> None:
    shape = graph.shapes[match.output]
    inputs = [_as_rows(graph, name) for name in match.rows]
    if match.bias is not None:
        key = (match.bias, match.queries)
        if key not in biases:  # shared by all layers: the operator wants a row of its own for every query
            whole = graph.constant(np.array([1, 1, match.queries, 1], dtype=np.int64), f"{match.bias}_shape")
            biases[key] = graph.add("Expand", [match.bias, whole])
        inputs += ["", "", biases[key]]
    output = match.output if len(shape) == 3 else graph.fresh(f"{match.output}_rows")
    graph.add("MultiHeadAttention", inputs, output, CONTRIB, num_heads=match.heads, scale=match.scale)
    if output != match.output:
        sizes = np.array([-1, *(int(size) for size in shape[1:])], dtype=np.int64)
        graph.add("Reshape", [output, graph.constant(sizes, f"{match.output}_shape")], match.output)


def _as_rows(graph: Rewriter, name: str) -> str:
    shape = graph.shapes[name]
    if len(shape) == 3:
        return name
    sizes = np.array([-1, prod(int(size) for size in shape[1:-1]), int(shape[-1])], dtype=np.int64)
    return graph.add("Reshape", [name, graph.constant(sizes, f"{name}_shape")])


def _match(
    softmax: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    readers: Mapping[str, Sequence[onnx.NodeProto]],
    graph: Rewriter,
    fewest_keys: int,
) -> _Match | None:
    """The attention around a Softmax over the keys, if its heads are consecutive channels of rows."""
    axis, shape = attributes(softmax).get("axis", -1), graph.shapes.get(softmax.input[0], ())
    after = readers.get(softmax.output[0], ())
    if len(shape) != 4 or axis not in (-1, 3) or len(after) != 1 or after[0].op_type != "MatMul":
        return None
    if not isinstance(shape[3], int) or shape[3] < fewest_keys:
        return None
    product, scale, bias = _scores(softmax.input[0], makers, graph)
    if product is None or after[0].input[0] != softmax.output[0]:
        return None
    query, key, value = (
        _rows(product.input[0], _ROWS, makers, graph),
        _rows(product.input[1], _KEYS, makers, graph),
        _rows(after[0].input[1], _ROWS, makers, graph),
    )
    heads, queries = shape[1], shape[2]
    if (
        query is None
        or key is None
        or value is None
        or not isinstance(heads, int)
        or not isinstance(queries, int)
    ):
        return None  # fmt: skip
    output = _output(after[0].output[0], readers, graph)
    if output is None:
        return None
    scale *= query[1] * key[1]
    return (
        _Match((query[0], key[0], value[0]), output, heads, scale, bias, queries) if value[1] == 1 else None
    )


def _scores(
    name: str, makers: Mapping[str, onnx.NodeProto], graph: Rewriter
) -> tuple[onnx.NodeProto | None, float, str | None]:
    """The product of q and k behind the scores, the factor on it, and the tensor added, which every query shares."""
    bias = None
    node = makers.get(name)
    if node is not None and node.op_type == "Add":
        for scores, added in (node.input, reversed(node.input)):
            shape = graph.shapes.get(added, ())
            maker = makers.get(scores)
            if len(shape) == 4 and shape[1] == shape[2] == 1 and maker is not None and maker.op_type in ("MatMul", "Mul", "Div"):  # fmt: skip
                bias, node = added, maker
                break
    scale = 1.0
    while node is not None and (factor := _factor(node, graph)) is not None:
        scale *= factor[1]
        node = makers.get(factor[0])
    return (node if node is not None and node.op_type == "MatMul" else None), scale, bias


def _factor(node: onnx.NodeProto, graph: Rewriter) -> tuple[str, float] | None:
    """The tensor that a node multiplies or divides by a number, and the factor."""
    if node.op_type not in ("Mul", "Div"):
        return None
    for place, name in enumerate(node.input):
        value = graph.constants.get(name)
        if is_scalar(value) and value is not None and (node.op_type == "Mul" or place == 1):
            number = float(value.ravel()[0])
            return node.input[1 - place], number if node.op_type == "Mul" else 1 / number
    return None


def _rows(
    name: str, order: tuple[int, ...], makers: Mapping[str, onnx.NodeProto], graph: Rewriter
) -> tuple[str, float] | None:
    """The tensor (B, ..., C) that a chain has split into heads, as far up as there is one, and the factor on it."""
    wanted = graph.shapes.get(name, ())
    if len(wanted) != 4 or not all(isinstance(size, int) for size in wanted[1:]):
        return None
    sizes = [int(wanted[order.index(axis)]) for axis in (1, 2, 3)]  # N, heads, d
    chain: list[onnx.NodeProto] = []
    scale, found = 1.0, None
    while (node := makers.get(name)) is not None:
        factor = _factor(node, graph)
        if factor is None and not _moves(node, graph):
            break
        if factor is not None:
            scale *= factor[1]
        else:
            chain.insert(0, node)
        name = factor[0] if factor is not None else node.input[0]
        shape = graph.shapes.get(name, ())
        inner = [size for size in shape[1:] if isinstance(size, int)]
        if (
            len(shape) < 3
            or len(inner) < len(shape) - 1
            or shape[-1] != sizes[1] * sizes[2]
            or prod(inner) != prod(sizes)
        ):
            continue  # fmt: skip
        batch = shape[0] if isinstance(shape[0], int) else _BATCH
        numbers = np.arange(batch * prod(sizes)).reshape(batch, *inner)
        expected = numbers.reshape(batch, *sizes).transpose(order)
        if np.array_equal(_moved(numbers, chain, graph), expected):
            found = (name, scale)
    return found


def _output(name: str, readers: Mapping[str, Sequence[onnx.NodeProto]], graph: Rewriter) -> str | None:
    """The tensor (B, ..., C) into which a chain joins the heads of (B, heads, N, d)."""
    shape = graph.shapes.get(name, ())
    if len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        return None
    heads, rows, d = (int(size) for size in shape[1:])
    batch = shape[0] if isinstance(shape[0], int) else _BATCH
    numbers = np.arange(batch * heads * rows * d)
    value: Array = numbers.reshape(batch, rows, heads, d).transpose(0, 2, 1, 3)
    found = None
    while len(after := readers.get(name, ())) == 1 and _moves(after[0], graph):
        value = _moved(value, after, graph)
        name = after[0].output[0]
        if value.ndim >= 3 and value.shape[-1] == heads * d and np.array_equal(value.ravel(), numbers):
            found = name
    return found


def _moves(node: onnx.NodeProto, graph: Rewriter) -> bool:
    return node.op_type == "Transpose" or (node.op_type == "Reshape" and node.input[1] in graph.constants)


def _moved(value: Array, chain: Sequence[onnx.NodeProto], graph: Rewriter) -> Array:
    """What Transposes and Reshapes make of numbers."""
    for node in chain:
        if node.op_type == "Transpose":
            value = value.transpose(attributes(node)["perm"])
            continue
        sizes = [int(size) for size in graph.constants[node.input[1]]]
        known = [value.shape[k] if size == 0 else size for k, size in enumerate(sizes)]
        value = value.reshape(known)
    return value
