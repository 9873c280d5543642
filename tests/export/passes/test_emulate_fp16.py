from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import Graphs
from fewstep_export.passes.emulate_fp16 import EmulateFp16
from fewstep_export.session import runner, tensors
from fewstep_export.targets.ort import emulate_fp16, to_fp16


def half_graph() -> onnx.ModelProto:
    """Y = float(half(half(x) * 60000) * 0.001), all in FP16."""
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "up"], ["large"]),
        helper.make_node("Mul", ["large", "down"], ["small"]),
        helper.make_node("Cast", ["small"], ["y"], to=TensorProto.FLOAT),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
    kinds = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["batch", 2])
        for name in ("h", "large", "small")
    ]
    weights = [
        numpy_helper.from_array(np.array(value, np.float16), name)
        for name, value in (("up", 60000), ("down", 0.001))
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], weights, value_info=kinds)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_every_node_rounds_to_half() -> None:
    x = np.array([[0.3, -0.01], [1.01, 0.7]], np.float32)
    expected = ((x.astype(np.float16) * np.float16(60000)) * np.float16(0.001)).astype(np.float32)
    np.testing.assert_array_equal(runner(emulate_fp16(half_graph()))({"x": x})["y"], expected)


def test_overflow_is_seen_that_this_machine_would_hide() -> None:
    x = np.array([[2.0, 0.5]], np.float32)
    assert np.isinf(runner(emulate_fp16(half_graph()))({"x": x})["y"][0, 0])


@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
def test_tensors_keep_their_names_and_hold_halves(
    name: str, graphs: Graphs, cases: Cases, apply: Callable[..., onnx.ModelProto]
) -> None:
    half, feeds = to_fp16(graphs[name].model), cases[name][0].feeds
    after = apply(EmulateFp16(), half, feeds, atol=0.02)
    values = tensors(after, feeds)
    kinds = {v.name for v in half.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    rounded = kinds & values.keys()
    assert len(rounded) > 15
    for key in rounded:
        np.testing.assert_array_equal(values[key], values[key].astype(np.float16).astype(np.float32))
