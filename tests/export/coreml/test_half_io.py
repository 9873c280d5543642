"""Packages whose inputs and outputs are float16."""

from collections import Counter
from pathlib import Path

import pytest

from fewstep.network import Feeds
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.package import read_package
from fewstep_export.coreml.verify import verify_package
from fewstep_export.onnx_export import Graphs
from fewstep_export.targets.ort import to_fp16


@pytest.mark.parametrize("name", [pytest.param("denoiser", marks=pytest.mark.slow), "decoder"])
def test_pictures_pass_as_float16_and_the_timestep_does_not(
    name: str, graphs: Graphs, inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    graph, casts = graphs[name].model, {}
    for half_io in (False, True):
        path = tmp_path / f"{half_io}.mlpackage"
        convert(to_fp16(graph), path, ConvertConfig("iOS17", half_io=half_io))
        verify_package(path, graph, inputs[name], "fp16")
        casts[half_io] = Counter(operation.operator for operation in read_package(path).operations)["cast"]
    package = read_package(tmp_path / "True.mlpackage")
    types = {key: kind.dtype for key, kind in package.inputs.items()}
    assert types.pop("timestep", "fp32") == "fp32" and set(types.values()) == {"fp16"}
    declared = {key: kind for operation in package.operations for key, kind in operation.outputs.items()}
    assert {declared[output].dtype for output in package.outputs} == {"fp16"}
    assert casts[True] < casts[False]
