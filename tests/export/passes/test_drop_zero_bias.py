from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fewstep_export.passes.drop_zero_bias import DropZeroBias


def conv(bias: float) -> onnx.ModelProto:
    values = {"w": np.ones((2, 3, 1, 1), np.float32), "b": np.full(2, bias, np.float32)}
    sizes: dict[str, list[int | str]] = {"x": ["batch", 3, 4, 4], "y": ["batch", 2, 4, 4]}
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, sizes[n])] for n in "xy")
    weights = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])], "g", inputs, outputs, weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


FEEDS = {"x": np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4)}


def test_a_bias_of_zeros_goes(apply: Callable[..., onnx.ModelProto]) -> None:
    after = apply(DropZeroBias(), conv(0.0), FEEDS)
    assert list(after.graph.node[0].input) == ["x", "w"]
    assert [value.name for value in after.graph.initializer] == ["w"]


def test_any_other_bias_stays(apply: Callable[..., onnx.ModelProto]) -> None:
    after = apply(DropZeroBias(), conv(1e-30), FEEDS)
    assert list(after.graph.node[0].input) == ["x", "w", "b"]
