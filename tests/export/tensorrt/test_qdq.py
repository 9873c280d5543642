"""Eight-bit nodes: what they look like, and that they compute nearly the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import Graphs
from fewstep_export.session import runner
from fewstep_export.targets.ort import to_fp16
from fewstep_export.tensorrt.qdq import FP8, activation_ranges, quantized


@pytest.fixture(scope="module")
def ranges(graphs: Graphs, cases: Cases) -> dict[str, float]:
    """Of the denoiser."""
    return dict(activation_ranges(graphs["denoiser"].model, [case.feeds for case in cases["denoiser"]]))


def test_every_wide_layer_has_signed_pairs_without_a_zero_point(
    graphs: Graphs, ranges: dict[str, float]
) -> None:
    model = quantized(to_fp16(graphs["denoiser"].model), ranges)
    onnx.checker.check_model(model, full_check=True)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    quantize = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert len(quantize) > 10
    for node in quantize:
        scale, zero = (onnx.numpy_helper.to_array(constants[name]) for name in node.input[1:])
        assert scale.dtype == np.float16 and scale > 0
        assert zero.dtype == np.int8 and zero == 0
    weights = [t for t in constants.values() if t.data_type == TensorProto.INT8 and t.dims]
    assert len(weights) <= len(quantize) and max(np.prod(t.dims) for t in weights) > 1000
    assert len(model.SerializeToString()) < len(to_fp16(graphs["denoiser"].model).SerializeToString())


def test_the_graph_computes_nearly_the_same(graphs: Graphs, cases: Cases, ranges: dict[str, float]) -> None:
    run = runner(quantized(graphs["denoiser"].model, ranges))
    for case in cases["denoiser"]:
        found, right = run(case.feeds)["velocity"], case.expected["velocity"]
        error = np.linalg.norm(found - right) / np.linalg.norm(right)
        assert 1e-4 < error < 0.1


def test_nodes_without_a_range_stay_as_they_are(graphs: Graphs) -> None:
    model = graphs["decoder"].model
    assert quantized(model, {}).graph.node == model.graph.node


def test_eight_bit_floats_have_one_scale_a_tensor_and_compute_nearly_the_same(
    graphs: Graphs, cases: Cases, ranges: dict[str, float]
) -> None:
    model = quantized(to_fp16(graphs["denoiser"].model), ranges, FP8)
    onnx.checker.check_model(model, full_check=True)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = [t for t in constants.values() if t.data_type == TensorProto.FLOAT8E4M3FN and t.dims]
    assert len(weights) > 10
    assert all(not constants[f"{tensor.name}.scale"].dims for tensor in weights)
    assert all(np.isfinite(onnx.numpy_helper.to_array(tensor).astype(np.float32)).all() for tensor in weights)
    run = runner(quantized(graphs["denoiser"].model, ranges, FP8))
    for case in cases["denoiser"]:
        found, right = run(case.feeds)["velocity"], case.expected["velocity"]
        error = np.linalg.norm(found - right) / np.linalg.norm(right)
        assert 1e-4 < error < 0.1
