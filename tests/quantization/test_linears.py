import numpy as np
from tests.quantization.conftest import random_feeds

from fewstep_quantization.linears import find_linears
from fewstep_quantization.pictures import Graphs
from fewstep_quantization.prepare import prepare
from fewstep_quantization.sessions import exposing, network


def test_every_linear_layer_is_what_it_says(fp32: Graphs) -> None:
    """X W + b of the recorded tensors is the layer's output, for MatMul, MatMul with Add, and Gemm."""
    graph = prepare(fp32["denoiser"])
    linears = find_linears(graph)
    feeds = random_feeds(graph)
    names = sorted({name for linear in linears for name in (linear.input, linear.output)})
    tensors = {**feeds, **network(exposing(graph, names))(feeds)}
    for linear in linears:
        expected = tensors[linear.input] @ linear.weights + (0 if linear.bias is None else linear.bias)
        np.testing.assert_allclose(tensors[linear.output], expected, rtol=1e-3, atol=1e-3)
    products = sum(node.op_type in ("MatMul", "Gemm") for node in graph.graph.node)
    attention = products - len(linears)
    assert (
        len(linears) > 15 and attention == 10
    )  # 3 of linear attention and 2 of cross-attention in each block
