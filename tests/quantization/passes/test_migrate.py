import numpy as np
from tests.quantization.conftest import random_feeds

from fewstep_quantization.linears import find_linears
from fewstep_quantization.passes.migrate import migrate
from fewstep_quantization.pictures import Graphs
from fewstep_quantization.prepare import prepare
from fewstep_quantization.sessions import exposing, network


def test_the_function_stays_and_the_channels_even_out(fp32: Graphs) -> None:
    graph = prepare(fp32["denoiser"])
    layer = next(linear for linear in find_linears(graph) if linear.weights.shape[0] == 64)
    peaks = np.linspace(1.0, 20.0, 64, dtype=np.float32)
    peaks[0] = 200.0
    moved = migrate(graph, {layer.input: peaks}, [layer.name])
    feeds = random_feeds(graph)
    (expected,) = network(graph)(feeds).values()
    (result,) = network(moved)(feeds).values()
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)
    tensors = network(exposing(moved, [layer.input, f"{layer.input}_even"]))(feeds)
    before, after = (
        np.abs(tensors[name]).reshape(-1, 64).max(axis=0) for name in (layer.input, f"{layer.input}_even")
    )
    ratio = before / after
    assert ratio[0] == ratio.max() and ratio.max() / ratio.min() > 3


def test_even_channels_are_left_alone(fp32: Graphs) -> None:
    graph = prepare(fp32["denoiser"])
    layer = find_linears(graph)[-1]
    peaks = {layer.input: np.ones(layer.weights.shape[0], dtype=np.float32)}
    assert len(migrate(graph, peaks, [layer.name]).graph.node) == len(graph.graph.node)
