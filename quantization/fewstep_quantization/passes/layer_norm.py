"""The steps of a layer normalisation over the last axis as one LayerNormalization.

Exporters write (x - mean) / sqrt(variance + eps) as ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Reciprocal and Mul. Over the channels
of NCHW no operator does this; with the channels last there is one, which reads its input once instead of five times.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from fewstep_quantization.graph import Array, Rewriter

_OPS = ("Mul", "Reciprocal", "Sqrt", "Add", "ReduceMean", "Pow", "Sub", "ReduceMean")


@dataclass(frozen=True)
class _Match:
    input: str
    output: str
    epsilon: float
    nodes: frozenset[str]


def fuse_layer_norm(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with such chains fused; scale and shift behind them stay as they are."""
    graph = Rewriter(model)
    makers = {name: node for node in graph.old_nodes for name in node.output}
    found = [match for node in graph.old_nodes if (match := _match(node, makers, graph)) is not None]
    results = {match.output: match for match in found}
    gone = frozenset().union(*(match.nodes for match in found))
    for node in graph.old_nodes:
        output = node.output[0]
        if output in results:
            _fuse(graph, results[output])
        elif output not in gone:
            graph.keep(node)
    return graph.model() if found else model


def _fuse(graph: Rewriter, match: _Match) -> None:
    size = graph.shapes[match.input][-1]
    ones = graph.constant(np.ones(int(size), dtype=np.float32), f"{match.output}_ones")
    graph.add("LayerNormalization", [match.input, ones], match.output, axis=-1, epsilon=match.epsilon)


def _match(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], graph: Rewriter) -> _Match | None:
    """The chain that ends in this Mul, if nothing else reads what is inside it."""
    if node.op_type != "Mul":
        return None
    for centred, inverse in (node.input, reversed(node.input)):
        chain = [node, *_chain(inverse, makers)]
        if tuple(step.op_type for step in chain) != _OPS:
            continue
        _, _, _, add, variance, power, sub, mean = chain
        epsilon, two = (_constant(step, graph.constants) for step in (add, power))
        inner = {step.output[0]: 1 for step in chain[1:]} | {centred: 2}
        if (
            sub.output[0] == centred
            and mean.input[0] == sub.input[0]
            and epsilon is not None
            and two == 2.0
            and all(_last_axis(step, graph) for step in (mean, variance))
            and all(graph.uses[name] == count for name, count in inner.items())
            and isinstance(graph.shapes[sub.input[0]][-1], int)
        ):
            return _Match(sub.input[0], node.output[0], epsilon, frozenset(inner) - {node.output[0]})
    return None


def _chain(name: str, makers: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The makers upwards: through the mean of a Sub, and the first input of everything else."""
    steps: list[onnx.NodeProto] = []
    while name in makers and len(steps) < len(_OPS) - 1:
        step = makers[name]
        steps.append(step)
        name = step.input[1] if step.op_type == "Sub" else step.input[0]
    return steps


def _constant(node: onnx.NodeProto, known: Mapping[str, Array]) -> float | None:
    value = known.get(node.input[1])
    return float(value.ravel()[0]) if value is not None and value.size == 1 else None


def _last_axis(node: onnx.NodeProto, graph: Rewriter) -> bool:
    axes = graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    rank = graph.rank(node.input[0])
    return axes is not None and rank is not None and [int(axis) % rank for axis in axes] == [rank - 1]
