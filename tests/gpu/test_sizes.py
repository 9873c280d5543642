"""Engines of many sizes on a real GPU: their profiles as they tell them, and their pictures against ONNX Runtime's on the processor."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.pipeline import Pipeline
from fewstep.sizes import SizeProfile
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import Target, with_engines

pytest.importorskip("onnx_ir", reason="the extra [export] is not installed")
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export

PROFILES = (SizeProfile.parse("64:128:192"), SizeProfile.parse("256x128"))
PROMPT = "red heart, 3d style"


@pytest.fixture(scope="module")
def graphs(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Graphs of free sizes."""
    engines = BuildConfig(profiles=PROFILES, graphs_only=True)
    output = tmp_path_factory.mktemp("sizes") / "x.fewstep"
    return Bundle.open(
        export(ExportConfig("emoji-128-4step", output, ("tensorrt",), ("fp16",), engines=engines))
    )


def test_an_engine_tells_its_profiles(graphs: Bundle, library: Any, tmp_path: Path) -> None:
    made = Bundle.open(with_engines(graphs, Target(library), tmp_path, BuildConfig(), "tensorrt-fp16"))
    plan = made.graph(made.manifest.variant().components["decoder"]).read_bytes()
    engine = library.Runtime(library.Logger(library.Logger.ERROR)).deserialize_cuda_engine(plan)
    assert engine.num_optimization_profiles == 2
    shapes = [[tuple(s) for s in engine.get_tensor_profile_shape("latents", i)] for i in range(2)]
    assert shapes[0] == [(1, 8, 8, 8), (2, 8, 16, 16), (2, 8, 24, 24)]
    assert shapes[1] == [(1, 8, 16, 32), (2, 8, 16, 32), (2, 8, 16, 32)]


def test_pictures_of_every_size_are_those_of_the_processor(
    graphs: Bundle, library: Any, tmp_path: Path
) -> None:
    there = Pipeline(with_engines(graphs, Target(library), tmp_path, BuildConfig(), "tensorrt-fp16"))
    manifest = json.loads((graphs.root / "manifest.json").read_text())
    manifest["variants"][0]["engine"] = "onnxruntime"
    (graphs.root / "manifest.json").write_text(json.dumps(manifest))
    here = Pipeline(graphs.root)
    for size in ((128, 128), (256, 128), (64, 192), (128, 128)):
        right = here.generate_array([PROMPT], [1], size=size)
        for _ in range(3):  # plain, recorded, launched
            found = there.generate_array([PROMPT], [1], size=size)
            assert 10 * np.log10(1 / np.square(found - right).mean()) > 30
