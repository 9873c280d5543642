import numpy as np
import pytest
from tests.quantization.conftest import random_feeds

from fewstep_quantization.passes.channels_last import to_channels_last
from fewstep_quantization.pictures import Graphs
from fewstep_quantization.sessions import network


@pytest.mark.parametrize("component", ["denoiser", "decoder"])
@pytest.mark.parametrize("spatial", [False, True])
def test_the_function_stays_and_no_pointwise_convolution_is_left(
    fp32: Graphs, component: str, spatial: bool
) -> None:
    graph = fp32[component]
    moved = to_channels_last(graph, spatial)
    kernels = {tensor.name: list(tensor.dims[2:]) for tensor in moved.graph.initializer}
    convolutions = [node for node in moved.graph.node if node.op_type == "Conv"]
    assert all(kernels[node.input[1]] != [1, 1] for node in convolutions)
    feeds = random_feeds(graph)
    for name, expected in network(graph)(feeds).items():
        np.testing.assert_allclose(network(moved)(feeds)[name], expected, rtol=1e-4, atol=1e-4)


def test_transposes_stand_at_borders_alone(fp32: Graphs) -> None:
    """Elementwise work between two convolutions has no Transpose around it: fewer than two for each convolution."""
    moved = to_channels_last(fp32["denoiser"])
    pointwise = sum(node.op_type == "MatMul" for node in moved.graph.node)
    large = [
        node
        for node in moved.graph.node
        if node.op_type == "Transpose" and node.input[0] not in {v.name for v in moved.graph.input}
    ]
    assert len(large) < 3 * pointwise


def test_a_graph_without_pointwise_convolutions_comes_back(fp32: Graphs) -> None:
    assert to_channels_last(fp32["text_encoder"]) is fp32["text_encoder"]
