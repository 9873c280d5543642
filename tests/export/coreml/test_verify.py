"""Right packages pass, and every kind of wrong package is caught on the artefact itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coremltools.proto import Model_pb2

from fewstep.errors import FewstepError
from fewstep.network import Feeds
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.verify import verify_package
from fewstep_export.onnx_export import Graphs
from fewstep_export.package_config import MinimumTarget
from fewstep_export.targets.ort import to_fp16

from .conftest import COMPONENTS

Inputs = dict[str, list[Feeds]]


@pytest.mark.parametrize("component", COMPONENTS)
def test_fp32_package_computes_what_onnx_runtime_does(
    component: str, packages: dict[str, Path], graphs: Graphs, inputs: Inputs
) -> None:
    verification = verify_package(packages[component], graphs[component].model, inputs[component])
    assert all(0 < v.max_abs_error <= 1e-5 * v.output_scale for v in verification.values())


@pytest.mark.parametrize("target", ["iOS17", "iOS18"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_fp16_package_stays_close(
    component: str, target: MinimumTarget, graphs: Graphs, inputs: Inputs, tmp_path: Path
) -> None:
    path, graph = tmp_path / "half.mlpackage", graphs[component].model
    convert(to_fp16(graph), path, ConvertConfig(target))
    verify_package(path, graph, inputs[component], "fp16")
    with pytest.raises(FewstepError, match="within 1e-05"):  # rounded weights are not exact
        verify_package(path, graph, inputs[component], "exact")


def _change(path: Path, operator: str, change: Callable[[Any, dict[str, Any]], None]) -> None:
    """Changes the first operation of that name in a saved program; `change` is given it and the constants by name."""
    manifest = json.loads((path / "Manifest.json").read_text())
    file = path / "Data" / manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    model = Model_pb2.Model.FromString(file.read_bytes())
    function = model.mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    constants = {op.outputs[0].name: op for op in operations if op.type == "const"}
    change(next(op for op in operations if op.type == operator), constants)
    file.write_bytes(model.SerializeToString())


def _constant(operation: Any, argument: str, constants: dict[str, Any]) -> Any:
    """The tensor message of a constant argument."""
    name = operation.inputs[argument].arguments[0].name
    return constants[name].attributes["val"].immediateValue.tensor


def _epsilon(operation: Any, constants: dict[str, Any]) -> None:
    _constant(operation, "epsilon", constants).floats.values[0] = 1e-2


def _axes(operation: Any, constants: dict[str, Any]) -> None:
    values = _constant(operation, "perm", constants).ints.values
    values[1], values[2] = values[2], values[1]


def _gelu(operation: Any, constants: dict[str, Any]) -> None:
    values = _constant(operation, "mode", constants).strings.values
    assert values[0] == "EXACT"
    values[0] = "TANH_APPROXIMATION"


@pytest.mark.parametrize(
    ("operator", "change"),
    [("layer_norm", _epsilon), ("transpose", _axes), ("gelu", _gelu)],
    ids=["changed epsilon", "swapped axes", "tanh-gelu for erf-gelu"],
)
def test_changed_program_is_caught(
    operator: str,
    change: Callable[[Any, dict[str, Any]], None],
    packages: dict[str, Path],
    graphs: Graphs,
    inputs: Inputs,
    tmp_path: Path,
) -> None:
    path = Path(shutil.copytree(packages["text_encoder"], tmp_path / "changed.mlpackage"))
    _change(path, operator, change)
    with pytest.raises(FewstepError, match="expected"):
        verify_package(path, graphs["text_encoder"].model, inputs["text_encoder"])


def test_flipped_bit_of_a_weight_is_caught(
    packages: dict[str, Path], graphs: Graphs, inputs: Inputs, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(packages["decoder"], tmp_path / "flipped.mlpackage"))
    file = path / "Data/com.apple.CoreML/weights/weight.bin"
    data = bytearray(file.read_bytes())
    data[64 + 64 + 3] ^= 0x04  # an exponent bit of the first value of the first blob
    file.write_bytes(data)
    with pytest.raises(FewstepError, match="within 1e-05"):
        verify_package(path, graphs["decoder"].model, inputs["decoder"])


def test_cut_off_weights_are_caught(
    packages: dict[str, Path], graphs: Graphs, inputs: Inputs, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(packages["decoder"], tmp_path / "cut.mlpackage"))
    file = path / "Data/com.apple.CoreML/weights/weight.bin"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(FewstepError, match="bytes"):
        verify_package(path, graphs["decoder"].model, inputs["decoder"])


def test_missing_package_is_one_sentence(graphs: Graphs, tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="expected a Core ML package"):
        verify_package(tmp_path / "none.mlpackage", graphs["decoder"].model, [])
