"""Engines on a real GPU against the graphs that they were built from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.engines.cuda import Cuda
from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.pipeline import Pipeline
from fewstep.tensorrt.build import build_engine
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.layers import inspected
from fewstep.verification import fixed_feeds


@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
@pytest.mark.parametrize("strip", [False, True], ids=["whole", "stripped"])
def test_an_engine_computes_what_its_graph_does(
    name: str, strip: bool, library: Any, cuda: Cuda, bundle: Bundle, tmp_path: Path
) -> None:
    component = bundle.manifest.variant("fp16").components[name]
    graph = bundle.graph(component)
    built = build_engine(library, graph, BuildConfig(strip_weights=strip))
    (tmp_path / "x.engine").write_bytes(built.content)
    (tmp_path / "x.engine.data").write_bytes(graph.read_bytes())
    assert not strip or len(built.content) < graph.stat().st_size / 4
    engine = TensorRTEngine(tmp_path / "x.engine", component, built.record, cuda)
    reference = Pipeline(bundle, "fp32")
    for feeds in fixed_feeds(reference)[name]:
        right = reference.model.networks[name](feeds)
        given = {spec.name: feeds[spec.name] for spec in component.inputs}
        for _ in range(3):  # plain, recorded, launched
            found = engine.run(given)
            for key, value in found.items():
                assert np.abs(value - right[key]).max() <= 0.02 * np.abs(right[key]).max()


def test_the_inspector_shows_half_precision(library: Any, bundle: Bundle) -> None:
    graph = bundle.graph(bundle.manifest.variant("fp16").components["decoder"])
    runtime = library.Runtime(library.Logger(library.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(build_engine(library, graph, BuildConfig()).content)
    assert any("FP16" in str(layer.get("Outputs")) for layer in inspected(library, engine))
