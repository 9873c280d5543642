"""Every rule against ONNX Runtime, through a saved package; the evaluator against coremltools' own arithmetic."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import onnx
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Function
from onnx import TensorProto, helper, numpy_helper

from fewstep_export.components import Array
from fewstep_export.coreml.convert import convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.evaluation import OPERATORS
from fewstep_export.coreml.ops import RULES
from fewstep_export.session import runner

X = np.random.default_rng(0).standard_normal((2, 4, 6, 4)).astype(np.float32)
ROWS = np.random.default_rng(1).standard_normal((2, 5, 4)).astype(np.float32)
WEIGHT = np.random.default_rng(2).standard_normal((4, 4)).astype(np.float32)
CHANNELS = np.array([1.0, 2.0, -0.5, 0.3], np.float32)
KERNEL = np.random.default_rng(3).standard_normal((4, 2, 3, 3)).astype(np.float32)
Case = tuple[str, Array, tuple[Array | None, ...], Mapping[str, Any]]


def _i(*values: int) -> Array:
    return np.array(values, np.int64)


def _f(value: float) -> Array:
    return np.array(value, np.float32)


UNARY = ("Abs", "Cos", "Erf", "Exp", "Floor", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin")
BINARY = ("Add", "Div", "Max", "Min", "Mul", "Sub")
CASES: list[Case] = [
    *((name, X, (), {}) for name in (*UNARY, "Softplus", "Tanh", "Identity")),
    *((name, X, (CHANNELS,), {}) for name in BINARY),
    *((name, np.abs(X) + 0.1, (), {}) for name in ("Sqrt", "Log")),
    *(("Pow", np.abs(X), (np.array(exponent, np.float32),), {}) for exponent in (0.5, 2.0, 3.0)),
    *(("Gelu", X, (), {"approximate": kind}) for kind in ("none", "tanh")),
    ("Elu", X, (), {"alpha": 1.0}),
    ("LeakyRelu", X, (), {"alpha": 0.2}),
    ("Clip", X, (_f(-0.5), _f(0.5)), {}),
    ("Clip", X, (_f(0),), {}),
    ("Clip", X, (None, _f(0)), {}),
    ("Reshape", X, (_i(0, -1, 4),), {}),
    ("Transpose", X, (), {"perm": [0, 3, 1, 2]}),
    ("Einsum", X, (), {"equation": "nhwc->wnch"}),
    ("GatherElements", X, (np.argsort(X, 2)[:, :, :3],), {"axis": 2}),
    ("Unsqueeze", ROWS, (_i(1),), {}),
    ("Squeeze", X[:, :1], (_i(1),), {}),
    ("Flatten", X, (), {"axis": 2}),
    ("Concat", X, (X[:, :, :2],), {"axis": 2}),
    ("Split", X, (), {"axis": 1, "num_outputs": 2}),
    ("Split", X, (_i(1, 3),), {"axis": 1}),
    ("Slice", X, (_i(1), _i(2**63 - 1), _i(2)), {}),
    ("Slice", X, (_i(-1), _i(-(2**63) + 1), _i(3), _i(-1)), {}),
    ("Slice", X, (_i(4, 0), _i(0, -1), _i(2, 1), _i(-2, 1)), {}),
    ("Gather", X, (np.array(-1),), {"axis": 2}),
    ("Gather", X, (_i(0, -2, 1),), {"axis": 1}),
    ("Expand", ROWS[:, None], (_i(2, 3, 5, 4),), {}),
    *(("Pad", X, (_i(0, 0, 1, 2, 0, 0, 2, 1),), {"mode": mode}) for mode in ("constant", "edge", "reflect")),
    ("MatMul", ROWS, (WEIGHT,), {}),
    ("MatMul", X, (WEIGHT,), {}),
    ("Gemm", ROWS[0], (WEIGHT, CHANNELS), {"transB": 1}),
    ("Gemm", ROWS[0], (WEIGHT,), {}),
    ("Conv", X, (KERNEL, CHANNELS), {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", X, (KERNEL,), {"group": 2, "dilations": [2, 1]}),
    ("ConvTranspose", X, (KERNEL, np.ones(2, np.float32)), {"strides": [2, 2], "pads": [1, 1, 0, 1]}),
    *((f"Reduce{kind}", X, (_i(1, 3),), {"keepdims": 0}) for kind in ("Max", "Mean", "Min", "Sum")),
    ("Softmax", X, (), {"axis": 1}),
    ("LayerNormalization", X, (CHANNELS, CHANNELS), {"epsilon": 1e-3}),
    ("InstanceNormalization", X, (CHANNELS, CHANNELS), {"epsilon": 1e-3}),
    ("CumSum", X, (np.array(1),), {}),
    ("CumSum", X, (np.array(1),), {"reverse": 1}),
    ("DepthToSpace", X, (), {"blocksize": 2, "mode": "CRD"}),
    (
        "Resize",
        X,
        (None, np.array([1, 1, 2, 3], np.float32)),
        {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
    ),
]
COMPOUND = {
    "And",
    "ArgMax",
    "Attention",
    "Cast",
    "DequantizeLinear",
    "Equal",
    "GatherND",
    "Greater",
    "GreaterOrEqual",
    "GroupNormalization",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Mod",
} | {
    "Not",
    "Or",
    "QuantizeLinear",
    "RMSNormalization",
    "Shape",
    "Where",
}
"""Operators with other types, or of later opsets; they have tests of their own, below, in test_opset_23 and in test_quantized."""


def _graph(nodes: list[onnx.NodeProto], feeds: Array, constants: Mapping[str, Array]) -> onnx.ModelProto:
    """A graph from x to y and, with a second output, z."""
    value = helper.make_tensor_value_info
    outputs = [name for name in ("y", "z") if any(name in node.output for node in nodes)]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, feeds.shape)],
        [value(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(constant, name) for name, constant in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def _require_equal(model: onnx.ModelProto, x: Array, path: Path) -> None:
    convert(model, path)
    found, right = Evaluator(path)({"x": x}), runner(model)({"x": x})
    for name, expected in right.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_rule_computes_what_onnx_runtime_does(case: Case, tmp_path: Path) -> None:
    operator, x, constants, attributes = case
    named = {f"c{i}": np.asarray(value) for i, value in enumerate(constants) if value is not None}
    inputs = ["x", *(f"c{i}" if value is not None else "" for i, value in enumerate(constants))]
    outputs = ["y", "z"] if operator == "Split" else ["y"]
    node = helper.make_node(operator, inputs, outputs, name="n", **attributes)
    _require_equal(_graph([node], x, named), x, tmp_path / "p.mlpackage")


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in CASES} | COMPOUND == set(RULES)


@pytest.mark.parametrize("comparison", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons_choose(comparison: str, tmp_path: Path) -> None:
    zero, one = np.float32(0), np.float32(1)
    node = helper.make_node
    nodes = [
        node(comparison, ["x", "zero"], ["first"]),
        node("Less", ["x", "one"], ["second"]),
        node("And", ["first", "second"], ["both"]),
        node("Not", ["both"], ["none"]),
        node("Or", ["first", "none"], ["some"]),
        node("Where", ["some", "x", "one"], ["chosen"]),
        node("Cast", ["both"], ["number"], to=TensorProto.FLOAT),
        node("Add", ["chosen", "number"], ["y"]),
    ]
    x = np.where(X < -1, 0, X).astype(np.float32)
    model = _graph(nodes, x, {"zero": np.asarray(zero), "one": np.asarray(one)})
    _require_equal(model, x, tmp_path / "p.mlpackage")


def test_places_and_shapes(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("ArgMax", ["x"], ["places"], axis=-1, keepdims=0),
        node("Sub", ["places", "two"], ["signed"]),
        node("Mod", ["signed", "two"], ["odd"]),
        node("Cast", ["odd"], ["numbers"], to=TensorProto.FLOAT),
        node("GatherND", ["x", "indices"], ["y"]),
        node("Unsqueeze", ["numbers", "last"], ["columns"]),
        node("Expand", ["columns", "shape"], ["z"]),
    ]
    constants = {"indices": np.array([[0, 1], [1, 3]]), "last": _i(-1), "two": _i(2)}
    model = _graph(nodes, X, constants)
    _require_equal(model, X, tmp_path / "p.mlpackage")


def test_a_choice_has_the_shape_of_its_condition(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Greater", ["x", "zero"], ["positive"]),
        node("ReduceMax", ["x", "axes"], ["largest"], keepdims=0),
        node("Where", ["positive", "one", "zero"], ["y"]),
        node("Where", ["positive", "largest", "zero"], ["z"]),
    ]
    constants = {"zero": np.asarray(np.float32(0)), "one": np.asarray(np.float32(1)), "axes": _i(0, 1, 2, 3)}
    _require_equal(_graph(nodes, X, constants), X, tmp_path / "p.mlpackage")


def test_truth_values_are_gathered(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Greater", ["x", "zero"], ["positive"]),
        node("GatherND", ["positive", "indices"], ["some"]),
        node("Cast", ["some"], ["y"], to=TensorProto.FLOAT),
        node("Equal", ["positive", "no"], ["none"]),
        node("Cast", ["none"], ["z"], to=TensorProto.FLOAT),
    ]
    constants = {
        "zero": np.asarray(np.float32(0)),
        "no": np.asarray(False),
        "indices": np.array([[0, 1], [1, 3]]),
    }
    _require_equal(_graph(nodes, X, constants), X, tmp_path / "p.mlpackage")


def test_values_that_are_no_numbers_are_found(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Log", ["x"], ["some"]),  # of negative values
        node("IsNaN", ["some"], ["lost"]),
        node("Where", ["lost", "zero", "some"], ["y"]),
    ]
    model = _graph(nodes, X, {"zero": np.asarray(np.float32(0))})
    _require_equal(model, X, tmp_path / "p.mlpackage")


T = np.array([[True, False], [False, True]])
POSITIVE = np.abs(X) + 0.1
INFERRED: list[tuple[str, dict[str, Any]]] = [
    *((name, {"x": X}) for name in ("abs", "cos", "erf", "exp", "floor", "relu", "round", "sigmoid", "sign")),
    *((name, {"x": X}) for name in ("sin", "softplus", "square", "tanh")),
    ("sqrt", {"x": POSITIVE}),
    *((name, {"x": POSITIVE, "epsilon": np.float32(1e-3)}) for name in ("inverse", "log", "rsqrt")),
    *((name, {"x": X, "y": CHANNELS}) for name in ("add", "maximum", "minimum", "mul", "real_div", "sub")),
    *(
        (name, {"x": X, "y": CHANNELS})
        for name in ("equal", "greater", "greater_equal", "less", "less_equal")
    ),
    *((name, {"x": T, "y": ~T}) for name in ("logical_and", "logical_or")),
    ("logical_not", {"x": T}),
    ("pow", {"x": POSITIVE, "y": np.float32(1.5)}),
    ("floor_div", {"x": np.arange(-6, 6, dtype=np.int32), "y": np.int32(4)}),
    *(("gelu", {"x": X, "mode": mode}) for mode in ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")),
    ("elu", {"x": X, "alpha": np.float32(0.7)}),
    ("leaky_relu", {"x": X, "alpha": np.float32(0.2)}),
    ("mod", {"x": X, "y": POSITIVE}),
    ("not_equal", {"x": X, "y": np.round(X)}),
    (
        "gather_along_axis",
        {"x": X, "indices": np.argsort(X, 2)[:, :, :2].astype(np.int32), "axis": np.int32(2)},
    ),
    ("clip", {"x": X, "alpha": np.float32(-0.3), "beta": np.float32(0.4)}),
    ("select", {"cond": T, "a": WEIGHT[:2, :2], "b": WEIGHT[2:, 2:]}),
    ("softmax", {"x": X, "axis": np.int32(1)}),
    ("matmul", {"x": ROWS, "y": WEIGHT, "transpose_x": np.bool_(False), "transpose_y": np.bool_(True)}),
    ("linear", {"x": ROWS, "weight": WEIGHT, "bias": CHANNELS}),
    ("reshape", {"x": X, "shape": np.array([8, -1], np.int32)}),
    ("transpose", {"x": X, "perm": np.array([2, 0, 3, 1], np.int32)}),
    ("expand_dims", {"x": ROWS, "axes": np.array([0, 2], np.int32)}),
    ("squeeze", {"x": ROWS[:1], "axes": np.array([0], np.int32)}),
    ("concat", {"values": (X, X), "axis": np.int32(2)}),
    ("stack", {"values": (X, X), "axis": np.int32(1)}),
    ("tile", {"x": ROWS, "reps": np.array([1, 2, 3], np.int32)}),
    ("reverse", {"x": ROWS, "axes": np.array([1], np.int32)}),
    ("gather", {"x": X, "indices": np.array([[2, 0]], np.int32), "axis": np.int32(1)}),
    *((f"reduce_{kind}", {"x": X, "axes": np.array([1, 3], np.int32)}) for kind in ("max", "min", "sum")),
    ("reduce_mean", {"x": X, "axes": np.array([-1], np.int32)}),
    ("reduce_argmax", {"x": X, "axis": np.int32(2), "keep_dims": np.bool_(False)}),
    ("cumsum", {"x": X, "axis": np.int32(1), "exclusive": np.bool_(False), "reverse": np.bool_(True)}),
    (
        "layer_norm",
        {"x": ROWS, "axes": np.array([-1], np.int32), "gamma": CHANNELS, "epsilon": np.float32(1e-3)},
    ),
    (
        "slice_by_index",
        {
            "x": X,
            "begin": np.array([0, 1, 5, 0], np.int32),
            "end": np.array([2, 3, 0, 4], np.int32),
            "stride": np.array([1, 1, -2, 1], np.int32),
            "squeeze_mask": np.array([True, False, False, False]),
        },
    ),
    ("split", {"x": X, "split_sizes": np.array([1, 3], np.int32), "axis": np.int32(1)}),
]


def _tensor(value: Any) -> Any:
    """An argument as the evaluator has it."""
    if isinstance(value, tuple):
        return [_tensor(item) for item in value]
    if isinstance(value, str):
        return value
    tensor = torch.from_numpy(np.array(value))
    return tensor.double() if tensor.is_floating_point() else tensor


@pytest.mark.parametrize("case", INFERRED, ids=lambda case: case[0])
def test_evaluator_agrees_with_value_inference(case: tuple[str, dict[str, Any]]) -> None:
    """Coremltools computes operators of constants while a program is built; the code is Apple's."""
    operator, arguments = case
    with Function({}, opset_version=ct.target.iOS17):
        result = getattr(mb, operator)(**arguments)
    right = [var.val for var in (result if isinstance(result, (list, tuple)) else [result])]
    assert all(value is not None for value in right)
    given = {name: _tensor(value) for name, value in arguments.items()}
    found = OPERATORS[operator](given)
    for mine, apple in zip(found if isinstance(found, list) else [found], right, strict=True):
        np.testing.assert_allclose(mine.numpy().astype(np.float64), apple, rtol=1e-5, atol=1e-5)
