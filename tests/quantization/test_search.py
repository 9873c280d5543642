from collections.abc import Collection

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fewstep.errors import FewstepError
from fewstep_quantization.affine import Range
from fewstep_quantization.schemes.static_int8 import to_static_int8
from fewstep_quantization.search import Budget, Point, measure_points, undominated, within
from fewstep_quantization.sensitivity import layer_errors, pareto


def chain(layers: int) -> onnx.ModelProto:
    """Layers x -> Tanh(x W + b), so many times, 16 channels wide."""
    generator = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for k in range(layers):
        weights.append(numpy_helper.from_array(generator.standard_normal((16, 16)).astype(np.float32) / 4, f"w{k}"))  # fmt: skip
        nodes.append(helper.make_node("MatMul", [name, f"w{k}"], [f"y{k}"]))
        nodes.append(helper.make_node("Tanh", [f"y{k}"], [f"t{k}"]))
        name = f"t{k}"
    value = [helper.make_tensor_value_info(n, 1, ["batch", 9, 16]) for n in ("x", name)]
    graph = helper.make_graph(nodes, "chain", value[:1], value[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


PLANTED = 2


@pytest.fixture
def planted() -> tuple[onnx.ModelProto, dict[str, Range]]:
    """A chain of five layers; the ranges fit but for one layer's input, 40 times too wide: 8 bits hold six of its levels."""
    ranges = {"x" if k == 0 else f"t{k - 1}": Range(-4, 4) if k == 0 else Range(-1, 1) for k in range(5)}
    return chain(5), ranges | {f"t{PLANTED - 1}": Range(-40, 40)}


def test_the_planted_layer_is_found_and_leaves_first(
    planted: tuple[onnx.ModelProto, dict[str, Range]],
) -> None:
    model, ranges = planted

    def quantise(exclude: Collection[str]) -> onnx.ModelProto:
        return to_static_int8(model, ranges, exclude)

    calls = [{"x": np.random.default_rng(k).standard_normal((2, 9, 16)).astype(np.float32)} for k in range(3)]
    errors = layer_errors(model, quantise, [f"y{k}" for k in range(5)], calls)
    assert errors[0].layer == f"y{PLANTED}"
    assert errors[0].error > 4 * errors[1].error
    assert pareto(errors)[1].layers == (f"y{PLANTED}",)
    points = measure_points(model, quantise, errors, calls, count=6)
    best = min(points, key=lambda p: p.error)
    assert best.error < 1e-6  # all in float
    choice = within(points, Budget(error=points[0].error / 2))
    assert f"y{PLANTED}" in choice.float_layers
    for point in points:
        assert point.error == pytest.approx(point.predicted_error, rel=0.5, abs=1e-6)


def test_only_what_none_beats_is_kept() -> None:
    points = [Point((), 1.0, 0.1, e, t) for e, t in [(0.1, 1), (0.2, 2), (0.05, 3), (0.04, 3), (0.04, 4)]]
    assert [(p.error, p.milliseconds) for p in undominated(points)] == [(0.1, 1), (0.04, 3)]


def test_a_budget_that_nothing_keeps_says_what_comes_near() -> None:
    points = [Point((), 1.0, 0.1, 0.1, 1.0), Point((), 0.5, 0.05, 0.05, 2.0)]
    assert within(points, Budget(milliseconds=2.5)).error == 0.05
    assert within(points, Budget(error=0.2)).milliseconds == 1.0
    with pytest.raises(
        FewstepError, match=r"the best has error 0.0500 in 2.0 ms, the fastest 0.1000 in 1.0 ms"
    ):
        within(points, Budget(error=0.01))
    with pytest.raises(FewstepError, match="between 0 and 1, found 2"):
        Budget(error=2)
