"""Engines on a real GPU against the graphs that they were built from."""

import os
from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.engines.cuda import Cuda
from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep.tensorrt.build import build_engine
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.layers import inspected
from fewstep.tensorrt.library import load_library
from fewstep.verification import fixed_feeds

BUNDLE = Path(os.environ.get("FEWSTEP_BUNDLE", "out/emoji-128.fewstep"))


@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
def test_an_engine_computes_what_its_graph_does(name: str, cuda: Cuda, tmp_path: Path) -> None:
    if not BUNDLE.is_dir():
        pytest.skip(f"{BUNDLE} is missing: make demo, or set FEWSTEP_BUNDLE")
    try:
        library = load_library()
    except FewstepError as error:
        pytest.skip(str(error))
    if library.__name__ == "tensorrt_rtx" and cuda.compute_capability == "9.0":
        pytest.skip("TensorRT-RTX runs on no GPU of compute capability 9.0")
    bundle = Bundle.open(BUNDLE)
    component = bundle.manifest.variant("fp16").components[name]
    built = build_engine(library, bundle.graph(component), BuildConfig())
    (tmp_path / "x.engine").write_bytes(built.content)
    engine = TensorRTEngine(tmp_path / "x.engine", component, built.record, cuda)
    reference = Pipeline(bundle, "fp32")
    for feeds in fixed_feeds(reference)[name]:
        right = reference.model.networks[name](feeds)
        given = {spec.name: feeds[spec.name] for spec in component.inputs}
        for _ in range(3):  # plain, recorded, launched
            found = engine.run(given)
            for key, value in found.items():
                assert np.abs(value - right[key]).max() <= 0.02 * np.abs(right[key]).max()


def test_the_inspector_shows_half_precision(cuda: Cuda, tmp_path: Path) -> None:
    if not BUNDLE.is_dir():
        pytest.skip(f"{BUNDLE} is missing: make demo, or set FEWSTEP_BUNDLE")
    try:
        library = load_library()
    except FewstepError as error:
        pytest.skip(str(error))
    if library.__name__ == "tensorrt_rtx" and cuda.compute_capability == "9.0":
        pytest.skip("TensorRT-RTX runs on no GPU of compute capability 9.0")
    bundle = Bundle.open(BUNDLE)
    graph = bundle.graph(bundle.manifest.variant("fp16").components["decoder"])
    runtime = library.Runtime(library.Logger(library.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(build_engine(library, graph, BuildConfig()).content)
    assert any("FP16" in str(layer.get("Outputs")) for layer in inspected(library, engine))
