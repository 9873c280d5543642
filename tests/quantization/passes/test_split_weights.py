import numpy as np
from tests.quantization.conftest import random_feeds

from fewstep_quantization.linears import find_linears
from fewstep_quantization.passes.channels_last import to_channels_last
from fewstep_quantization.passes.split_weights import split_weights
from fewstep_quantization.pictures import Graphs
from fewstep_quantization.sessions import network


def test_layers_in_front_of_a_split_come_apart_and_the_function_stays(fp32: Graphs) -> None:
    moved = to_channels_last(fp32["denoiser"])
    apart = split_weights(moved)
    channel_splits = sum(node.op_type == "Split" for node in moved.graph.node)
    assert (
        channel_splits == 6
    )  # q, k, v; keys and values of the text; the gated feed-forward: in each of two blocks
    assert not any(node.op_type == "Split" for node in apart.graph.node)
    assert len(find_linears(apart)) == len(find_linears(moved)) + 2 * (2 + 1 + 1)
    depthwise = [node for node in apart.graph.node if node.op_type == "Conv"]
    assert len(depthwise) == 2 * sum(node.op_type == "Conv" for node in moved.graph.node)
    feeds = random_feeds(moved)
    (expected,) = network(moved)(feeds).values()
    (result,) = network(apart)(feeds).values()
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_a_second_time_nothing_is_left_to_do(fp32: Graphs) -> None:
    apart = split_weights(to_channels_last(fp32["denoiser"]))
    assert split_weights(apart) is apart


def test_a_layer_that_others_read_stays_whole(fp32: Graphs) -> None:
    """With the output of the layer as an output of the graph, somebody else needs it whole."""
    moved = to_channels_last(fp32["denoiser"])
    splits = [node for node in moved.graph.node if node.op_type == "Split"]
    value = moved.graph.output.add()
    value.name = splits[0].input[0]
    apart = split_weights(moved)
    assert [node.output[0] for node in apart.graph.node if node.op_type == "Split"] == [splits[0].output[0]]
