"""Replacing the linear layers of a graph: the walk that schemes and passes share."""

from collections.abc import Callable, Collection

import onnx

from fewstep_quantization.graph import Rewriter
from fewstep_quantization.linears import Linear, find_linears

Write = Callable[[Rewriter, Linear], None]
"""Appends the nodes that make `linear.output`."""


def replace_linears(model: onnx.ModelProto, exclude: Collection[str], write: Write) -> onnx.ModelProto:
    """The graph with its linear layers written anew, but for those excluded by name."""
    graph = Rewriter(model)
    chosen = {linear.output: linear for linear in find_linears(model) if linear.name not in exclude}
    inner = {name for linear in chosen.values() for name in linear.nodes}
    for node in graph.old_nodes:
        output = node.output[0]
        if output in chosen:
            write(graph, chosen[output])
        elif output not in inner:
            graph.keep(node)
    return graph.model()
