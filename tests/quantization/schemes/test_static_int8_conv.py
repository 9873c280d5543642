"""Convolutions as integer products are convolutions: of any stride, dilation and padding, and their output is not rounded."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.quantization.conftest import random_feeds

from fewstep_quantization.affine import Range, quantise_weights
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.layers import last_layers
from fewstep_quantization.pictures import Graphs, relative_error
from fewstep_quantization.prepare import prepare
from fewstep_quantization.schemes.static_int8_conv import to_static_int8_conv
from fewstep_quantization.sessions import network
from fewstep_quantization.static_graph import LAST, StaticGraph

COVERED = Range(-3.0, 4.0)


def convolution(weights: np.ndarray, **attributes: Any) -> onnx.ModelProto:
    bias = np.linspace(-1, 1, len(weights)).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, None, None])
        for name, channels in (("x", weights.shape[1]), ("y", len(weights)))
    ]
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((3, 3), {"pads": [1, 1, 1, 1]}),
        ((3, 3), {"pads": [0, 1, 2, 0], "strides": [2, 2]}),
        ((3, 2), {"strides": [2, 1], "dilations": [2, 3]}),
        ((1, 3), {"pads": [0, 1, 0, 1]}),
        ((5, 5), {"pads": [2, 2, 2, 2], "strides": [3, 2]}),
    ],
)
def test_it_is_the_convolution_of_rounded_weights_and_inputs(
    kernel: tuple[int, int], attributes: dict[str, list[int]]
) -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((4, 3, *kernel)).astype(np.float32)
    x = generator.standard_normal((2, 3, 23, 25)).astype(np.float32).clip(-3, 4)
    quantised, scales = quantise_weights(weights.reshape(4, -1), axis=1)
    rounded = (quantised * scales[:, None]).reshape(weights.shape).astype(np.float32)
    expected = network(convolution(rounded, **attributes))({"x": COVERED.round(x)})["y"]
    model = to_static_int8_conv(convolution(weights, **attributes), {"x": COVERED})
    assert not find_convolutions(model)
    found = network(model)({"x": x})["y"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(np.unique(found)) > 300  # of 8 bits there were 256


def test_a_convolution_that_pads_by_itself_stays(fp32: Graphs) -> None:
    weights = np.ones((4, 3, 3, 3), dtype=np.float32)
    assert not find_convolutions(convolution(weights, auto_pad="SAME_UPPER"))
    assert find_convolutions(convolution(weights, auto_pad="NOTSET"))


def test_the_layer_that_makes_the_picture_stays_float(fp32: Graphs) -> None:
    graph = prepare(fp32["decoder"], spatial=True)
    (last,) = last_layers(graph)
    assert StaticGraph.of(fp32["decoder"]).reasons[last] == LAST
    ranges = {layer.input: Range(-4, 4) for layer in find_convolutions(graph)}
    quantised = to_static_int8_conv(graph, ranges, {last})
    assert [layer.name for layer in find_convolutions(quantised)] == [last]
    feeds = random_feeds(graph)
    (expected,), (found,) = (network(model)(feeds).values() for model in (graph, quantised))
    assert 0 < relative_error(found, expected) < 0.1
