"""ONNX files that reach beyond themselves, made by the onnx package and read without it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewstep.bundle import Bundle
from fewstep.errors import BundleError
from fewstep.onnx_graph import needs_of, require_safe_graph
from fewstep.pipeline import Pipeline
from fewstep.trust import Trust

X, Y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")


def external(location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def saved(path: Path, graph: onnx.GraphProto, **options: object) -> Path:
    path.write_bytes(helper.make_model(graph, **options).SerializeToString())
    return path


def add(second: str = "x") -> onnx.NodeProto:
    return helper.make_node("Add", ["x", second], ["y"])


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "g.onnx.data/../../x", "other.bin", ""])
@pytest.mark.parametrize("place", ["initializer", "attribute", "body", "sparse"])
def test_weights_outside_are_refused_wherever_they_hide(tmp_path: Path, location: str, place: str) -> None:
    tensor = external(location)
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    nodes, initializers, sparse = [add("w")], [], []
    if place == "initializer":
        initializers = [tensor]
    elif place == "attribute":
        nodes = [constant, *nodes]
    elif place == "sparse":
        indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
        sparse = [helper.make_sparse_tensor(tensor, indices, [1])]
    else:
        body = helper.make_graph([constant], "body", [], [helper.make_tensor_value_info("w", 1, [1])])
        nodes = [helper.make_node("If", ["c"], ["w"], then_branch=body, else_branch=body), *nodes]
    graph = helper.make_graph(nodes, "g", [X], [Y], initializers, sparse_initializer=sparse)
    path = saved(tmp_path / "g.onnx", graph)
    assert needs_of(path).files == {location}
    with pytest.raises(BundleError, match="expected the weights of a graph inside the bundle and beside it"):
        require_safe_graph(path, {"g.onnx.data"}, ())


def test_weights_beside_are_taken(tmp_path: Path) -> None:
    graph = helper.make_graph([add("w")], "g", [X], [Y], [external("g.onnx.data")])
    require_safe_graph(saved(tmp_path / "g.onnx", graph), {"g.onnx.data"}, ())


def test_foreign_operators_and_functions_are_refused_unless_named(tmp_path: Path) -> None:
    function = helper.make_function(
        "my.domain", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    graph = helper.make_graph([helper.make_node("Twice", ["x"], ["y"], domain="my.domain")], "g", [X], [Y])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("my.domain", 1)]
    path = saved(tmp_path / "g.onnx", graph, functions=[function], opset_imports=opsets)
    with pytest.raises(
        BundleError, match=r"expected functions .* found 'my\.domain::Twice'.*--allow-operator"
    ):
        require_safe_graph(path, (), ())
    require_safe_graph(path, (), {"my.domain::Twice"})
    path = saved(tmp_path / "h.onnx", graph, opset_imports=opsets)
    with pytest.raises(BundleError, match=r"expected operators .* found 'my\.domain::Twice'"):
        require_safe_graph(path, (), ())
    contrib = helper.make_graph(
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], "g", [X], [Y]
    )
    require_safe_graph(saved(tmp_path / "i.onnx", contrib), (), ())


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\xff" * 40, b"\x3b", b"hello, world", b"\xa2\x01\x00"])
def test_what_is_no_graph_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "g.onnx").write_bytes(data)
    with pytest.raises(BundleError, match="expected an ONNX graph, found a broken one"):
        needs_of(tmp_path / "g.onnx")


def test_graphs_too_deep_inside_each_other_are_refused(tmp_path: Path) -> None:
    body = helper.make_graph([add()], "g", [], [Y])
    for _ in range(24):
        node = helper.make_node(
            "If", ["c"], ["y"], then_branch=body, else_branch=helper.make_graph([], "e", [], [])
        )
        body = helper.make_graph([node], "g", [], [Y])
    with pytest.raises(BundleError, match="graphs lie too deep"):
        needs_of(saved(tmp_path / "g.onnx", body))


def test_a_bundle_with_a_function_runs_once_it_is_allowed(
    bundle_copy: Path, resign: Callable[..., None]
) -> None:
    path = bundle_copy / "ort/fp32/decoder.onnx"
    model = onnx.load(path)
    model.functions.append(
        helper.make_function(
            "my",
            "Same",
            ["a"],
            ["b"],
            [helper.make_node("Identity", ["a"], ["b"])],
            [helper.make_opsetid("", 20)],
        )
    )
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Same", ["before"], ["image"], domain="my"))
    model.opset_import.append(helper.make_opsetid("my", 1))
    path.write_bytes(model.SerializeToString())
    resign(bundle_copy)
    with pytest.raises(BundleError, match="found 'my::Same'"):
        Pipeline(bundle_copy)
    trusted = Bundle.open(bundle_copy, Trust(operators=frozenset({"my::Same"})))
    assert Pipeline(trusted).generate("a heart").size == (16, 16)
