"""What is found of graphs before they see a board; operators are held against TensorRT's own parser."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from fewstep.bundle import Bundle
from fewstep.cli import build_app
from fewstep.devices.boards import BOARDS, board_named
from fewstep.errors import FewstepError
from fewstep.tensorrt.library import log_of
from fewstep.tensorrt.parse import parse
from fewstep_export.device_check.check import SYSTEM, Finding, check
from fewstep_export.device_check.memory import activation_bytes, at_batch
from fewstep_export.device_check.operators import TENSORRT

ORIN = board_named("orin-nano-8gb")
Judge = Callable[[onnx.ModelProto], list[Finding]]


def model_of(*nodes: onnx.NodeProto, dims: tuple[int | str, ...] = ("batch", 4, 4)) -> onnx.ModelProto:
    """A graph from x to y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_small_bundle_fits_and_the_estimate_adds_up(bundle: Path) -> None:
    findings = check(Bundle.open(bundle), ORIN)
    assert not [finding for finding in findings if finding.serious]
    (memory,) = [finding for finding in findings if not finding.component]
    assert memory.what.startswith("about 0.96 GB of memory (weights 0.00 GB")
    assert "of 7.09 GB that orin-nano-8gb has" in memory.what


def test_too_little_memory_is_serious(bundle: Path) -> None:
    small = replace(ORIN, name="small", memory=SYSTEM + 900_000_000)
    assert check(Bundle.open(bundle), small)[-1].serious


def test_activations_are_those_alive_at_once() -> None:
    # a = x + x is read twice, so that three arrays of 2 * 16 floats live while y is made
    add = [helper.make_node("Add", ["x", "x"], ["a"]), helper.make_node("Exp", ["a"], ["b"])]
    model = at_batch(model_of(*add, helper.make_node("Mul", ["a", "b"], ["y"])), 2)
    assert activation_bytes(model) == (3 * 2 * 16 * 4, 0)


def test_a_changed_view_takes_no_memory() -> None:
    shape = numpy_helper.from_array(np.array([-1, 16]), "shape")
    back = numpy_helper.from_array(np.array([-1, 4, 4]), "back")
    nodes = [
        helper.make_node("Exp", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Reshape", ["b", "back"], ["c"]),
        helper.make_node("Neg", ["c"], ["y"]),
    ]
    model = model_of(*nodes)
    model.graph.initializer.extend([shape, back])
    assert activation_bytes(at_batch(model, 2)) == (2 * 2 * 16 * 4, 0)


@pytest.fixture
def with_denoiser(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """check() with another graph in the place of every component's."""

    def run(model: onnx.ModelProto) -> list[Finding]:
        onnx.save(model, tmp_path / "x.onnx")
        monkeypatch.setattr(Bundle, "graph", lambda self, component: tmp_path / "x.onnx")
        return [f for f in check(Bundle.open(bundle), ORIN) if f.component == "denoiser"]

    return run


def test_unknown_operators_free_dimensions_and_loops_are_told(with_denoiser: Judge) -> None:
    (finding,) = with_denoiser(model_of(helper.make_node("Det", ["x"], ["y"], "blocks.0/det")))[-1:]
    assert finding == Finding(
        "denoiser", "TensorRT does not read Det (1 nodes, the first is 'blocks.0/det')", True
    )
    found = with_denoiser(model_of(helper.make_node("Exp", ["x"], ["y"]), dims=("batch", 4, "length")))
    assert found == [
        Finding("denoiser", "the input 'x' has free dimensions besides the batch: length", False)
    ]


@pytest.mark.parametrize(("operator", "known"), [("Exp", True), ("Erf", True), ("Det", False)])
def test_the_list_agrees_with_the_parser(operator: str, known: bool, tmp_path: Path) -> None:
    library = pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")
    dims = ("batch",) if operator == "Det" else ("batch", 4, 4)
    model = model_of(helper.make_node(operator, ["x"], ["y"]))
    del model.graph.output[0].type.tensor_type.shape.dim[len(dims) :]
    onnx.save(model, tmp_path / "x.onnx")
    log = log_of(library)
    builder = library.Builder(log)  # must outlive its network
    assert known == (operator in TENSORRT)
    if known:
        assert parse(library, builder, tmp_path / "x.onnx", log).num_layers == 1
    else:
        with pytest.raises(FewstepError, match=f"{operator} of node"):
            parse(library, builder, tmp_path / "x.onnx", log)


def test_the_command_prints_and_refuses(bundle: Path) -> None:
    runner, app = CliRunner(), build_app()
    done = runner.invoke(app, ["check", str(bundle), "--device", "orin-nano-8gb"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith("ok  memory: about")
    done = runner.invoke(app, ["check", str(bundle), "--device", "toaster"])
    assert isinstance(done.exception, FewstepError)
    assert "found 'toaster'" in str(done.exception)
    assert len({board.name for board in BOARDS}) == len(BOARDS)
