"""Every family of pipelines as TensorRT engines; the export itself compares the pictures and audits the layers."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from fewstep.bundle import Bundle
from fewstep.tensorrt.build import Built
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.targets.tensorrt import write_engine
from fewstep_export.tensorrt.audit import wide_int64

from .test_diffusers import NAMES

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_engines_are_built_of_every_component(
    name: str,
    checkpoint: Callable[[str], Path],
    tiny_pipelines: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: dict[str, list[Built]] = defaultdict(list)

    def write_and_keep(graph: onnx.ModelProto, component: str, *rest: Any) -> Built:
        made[component].append(write_engine(graph, component, *rest))
        return made[component][-1]

    monkeypatch.setattr("fewstep_export.targets.tensorrt.write_engine", write_and_keep)
    case = tiny_pipelines.CASES[name]
    config = ExportConfig(
        str(checkpoint(name)), tmp_path / "tiny.fewstep", ("tensorrt",), ("fp16", "int8"), case.steps, size=case.size
    )  # fmt: skip
    manifest = Bundle.open(export(config)).manifest
    assert [v.name for v in manifest.variants] == ["tensorrt-fp16", "tensorrt-int8"]
    for variant in manifest.variants:
        assert variant.engines.keys() == variant.components.keys()
    # What runs in every step; a text encoder, which runs once a prompt, may count its positions so (T5 does).
    repeated = [*made["denoiser"], *made["decoder"]]
    assert len(repeated) == 4
    assert [layer for built in repeated for layer in wide_int64(built.layers)] == []
