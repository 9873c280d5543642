import numpy as np
import pytest
from tests.quantization.conftest import random_feeds

from fewstep_quantization.passes.attention import fuse_attention
from fewstep_quantization.passes.channels_last import to_channels_last
from fewstep_quantization.passes.split_weights import split_weights
from fewstep_quantization.pictures import Graphs
from fewstep_quantization.sessions import network


@pytest.mark.parametrize("component", ["denoiser", "text_encoder"])
def test_attention_becomes_one_operator_and_the_function_stays(fp32: Graphs, component: str) -> None:
    """Cross-attention from maps (B, C, h, w), and self-attention of rows with a mask."""
    graph = split_weights(to_channels_last(fp32[component]))
    fused = fuse_attention(graph, fewest_keys=1)
    softmaxes = sum(node.op_type == "Softmax" for node in graph.graph.node)
    operators = [node.op_type for node in fused.graph.node]
    assert operators.count("MultiHeadAttention") == softmaxes > 0
    assert "Softmax" not in operators
    assert operators.count("Expand") == 1  # the mask, for all layers
    feeds = random_feeds(graph)
    (expected,) = network(graph)(feeds).values()
    (result,) = network(fused)(feeds).values()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_a_short_prompt_is_not_worth_it(fp32: Graphs) -> None:
    graph = fp32["text_encoder"]
    assert fuse_attention(graph) is graph
