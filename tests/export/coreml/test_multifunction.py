"""One package for two sizes and for a student: what each function computes, and that equal weights are stored once."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from fewstep.errors import FewstepError
from fewstep.network import Feeds
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.multifunction import join
from fewstep_export.onnx_export import Graphs
from fewstep_export.session import runner
from fewstep_export.targets.ort import to_fp16


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("weight.bin"))


def _student(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with another last convolution."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    name = next(node for node in reversed(changed.graph.node) if node.op_type == "Conv").input[1]
    weight = next(tensor for tensor in changed.graph.initializer if tensor.name == name)
    values = onnx.numpy_helper.to_array(weight) * np.float32(0.5)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, name))
    return changed


def test_functions_share_their_weights(
    graphs: Graphs, inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    base = graphs["decoder"].model
    programs = {"single": (base, 1), "pair": (base, 2), "student": (_student(base), 1)}
    sources = {name: tmp_path / f"{name}.mlpackage" for name in programs}
    for name, (model, batch) in programs.items():
        convert(to_fp16(model), sources[name], ConvertConfig("iOS18", batch))
    joined = tmp_path / "joined.mlpackage"
    join(sources, joined)
    row = inputs["decoder"][0]["latents"]
    for name, (model, batch) in programs.items():
        feeds = {"latents": np.concatenate([row] * batch)}
        found = Evaluator(joined, "fp16", function=name)(feeds)["image"]
        assert np.abs(found - runner(model)(feeds)["image"]).max() < 2e-2
        np.testing.assert_array_equal(found, Evaluator(sources[name], "fp16")(feeds)["image"])
    np.testing.assert_array_equal(
        Evaluator(joined, "fp16")({"latents": row})["image"],
        Evaluator(sources["single"], "fp16")({"latents": row})["image"],
    )
    assert _size(joined) < 1.1 * _size(sources["single"])


def test_what_cannot_be_joined_is_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="expected packages for iOS 18"):
        join({"main": packages["decoder"]}, tmp_path / "joined.mlpackage")
    with pytest.raises(FewstepError, match="found none"):
        join({}, tmp_path / "joined.mlpackage")
    with pytest.raises(FewstepError, match="expected a function student, found main"):
        Evaluator(packages["decoder"], function="student")
