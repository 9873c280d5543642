import numpy as np
from tests.quantization.conftest import random_feeds

from fewstep_quantization.passes.channels_last import to_channels_last
from fewstep_quantization.passes.layer_norm import fuse_layer_norm
from fewstep_quantization.pictures import Graphs
from fewstep_quantization.sessions import network


def test_the_norms_of_the_denoiser_become_one_node_each(fp32: Graphs) -> None:
    moved = to_channels_last(fp32["denoiser"])
    fused = fuse_layer_norm(moved)
    found = sum(node.op_type == "LayerNormalization" for node in fused.graph.node)
    assert found == 5  # two in each of two blocks, one behind them
    feeds = random_feeds(moved)
    (expected,) = network(moved)(feeds).values()
    (result,) = network(fused)(feeds).values()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_over_another_axis_nothing_is_fused(fp32: Graphs) -> None:
    assert fuse_layer_norm(fp32["decoder"]) is fp32["decoder"]
