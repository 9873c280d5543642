"""Eight-bit products: a package of a QDQ graph computes what ONNX Runtime does, with weights that stay in eight bits."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewstep.network import Feeds
from fewstep_export.components import Array
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.lint import require_clean
from fewstep_export.coreml.package import read_package
from fewstep_export.coreml.preflight import find_problems
from fewstep_export.onnx_export import Graphs
from fewstep_export.package_config import MinimumTarget
from fewstep_export.session import tensors
from fewstep_export.targets.ort import to_fp16
from fewstep_export.tensorrt.qdq import activation_ranges, quantized

EXPANDS: dict[MinimumTarget, str] = {
    "iOS17": "constexpr_affine_dequantize",
    "iOS18": "constexpr_blockwise_shift_scale",
}
X = np.random.default_rng(0).standard_normal((1, 5, 8)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).integers(0, 256, (8, 6)).astype(np.uint8)


def _asymmetric() -> onnx.ModelProto:
    """The network x -> uint8 -> x' -> x' W, with a zero point for the activations and one for each column of the weights."""
    constants = {
        "scale": np.float32(0.03),
        "zero": np.uint8(117),
        "weights": WEIGHTS,
        "scales": np.linspace(0.01, 0.02, 6, dtype=np.float32),
        "zeros": np.arange(120, 126).astype(np.uint8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["x_"]),
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["w"], axis=1),
        helper.make_node("MatMul", ["x_", "w"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", X.shape), ("y", (1, 5, 6)))
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("target", EXPANDS)
def test_zero_points_of_activations_and_columns(target: MinimumTarget, tmp_path: Path) -> None:
    model, path = _asymmetric(), tmp_path / "product.mlpackage"
    convert(model, path, ConvertConfig(target))
    operators = Counter(operation.operator for operation in read_package(path).operations)
    assert operators["quantize"] == operators["dequantize"] == operators[EXPANDS[target]] == 1
    np.testing.assert_allclose(Evaluator(path)({"x": X})["y"], tensors(model, {"x": X})["y"], atol=1e-5)


@pytest.mark.parametrize("target", EXPANDS)
def test_a_network_in_eight_bits(
    target: MinimumTarget, graphs: Graphs, inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    full, feeds = graphs["decoder"].model, inputs["decoder"][0]
    ranges = activation_ranges(full, inputs["decoder"])
    eight, right = quantized(full, ranges), tensors(full, feeds)["image"]
    assert not list(find_problems(eight))
    found = {}
    for name, model, mode in (("full", eight, "exact"), ("half", quantized(to_fp16(full), ranges), "fp16")):
        path = tmp_path / f"{name}.mlpackage"
        convert(model, path, ConvertConfig(target))
        require_clean(read_package(path), name)
        found[name] = Evaluator(path, mode)(feeds)["image"]  # type: ignore[arg-type] # a Mode, as mypy does not see
    operators = Counter(operation.operator for operation in read_package(path).operations)
    assert operators["quantize"] == len(ranges) and operators[EXPANDS[target]] >= len(ranges) / 2
    expected = tensors(eight, feeds)["image"]
    assert (
        np.abs(found["full"] - expected).mean() <= 1e-4 * np.abs(expected).mean()
    )  # but for ties that round apart
    ours, theirs = (_error(image, right) for image in (found["half"], expected))
    assert 0 < ours < 1.2 * theirs


def _error(found: Array, right: Array) -> float:
    """Relative, in l2."""
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


def test_weights_of_eight_bits_elsewhere_are_expanded(tmp_path: Path) -> None:
    model = _asymmetric()
    model.graph.node[-1].op_type = "Add"
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(WEIGHTS[:5, :1].repeat(8, 1), "weights"))
    model.graph.initializer[3].CopyFrom(
        numpy_helper.from_array(np.linspace(0.01, 0.02, 8, dtype=np.float32), "scales")
    )
    model.graph.initializer[4].CopyFrom(
        numpy_helper.from_array(np.arange(120, 128).astype(np.uint8), "zeros")
    )
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 8
    path = tmp_path / "sum.mlpackage"
    convert(model, path)
    np.testing.assert_allclose(Evaluator(path)({"x": X})["y"], tensors(model, {"x": X})["y"], atol=1e-5)
