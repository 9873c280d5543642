"""Packages on Core ML itself against the evaluator's reference. Written where there is no Mac: it has not run yet."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.engines.coreml import CoreMLEngine
from fewstep.pipeline import Pipeline
from fewstep.verification import fixed_feeds
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.joining.join import join_bundles
from fewstep_export.package_config import ConvertConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "darwin", reason="Core ML is on Macs alone"),
]
BOUNDS = {"fp32": 1e-3, "fp16": 3e-2}
"""Relative to the largest output; wider than the evaluator's, since a device may add in FP16."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The zoo model for both engines."""
    output = tmp_path_factory.mktemp("mac") / "emoji-128.fewstep"
    return Bundle.open(export(ExportConfig("emoji-128", output, ("ort", "coreml"), ("fp32", "fp16"))))


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("units", ["CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"])
@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
def test_a_component_computes_what_onnx_runtime_does(
    name: str, units: str, precision: str, bundle: Bundle
) -> None:
    component = bundle.manifest.variant(f"coreml-{precision}").components[name]
    engine = CoreMLEngine(bundle.graph(component), component, units)  # type: ignore[arg-type]
    reference = Pipeline(bundle, "fp32")
    for feeds in fixed_feeds(reference)[name]:
        given = {key: feeds[key] for key in component.input_names}
        found, expected = engine.run(given), reference.model.networks[name](feeds)
        for output, right in expected.items():
            mask = given["text_mask"][..., None] if output == "text_states" else np.float32(1)
            error = np.abs((found[output] - right) * mask).max()
            assert error <= BOUNDS[precision] * np.abs(right).max()


def test_a_picture(bundle: Bundle, tmp_path: Path) -> None:
    right = Pipeline(bundle, "fp32").generate_array(["a red heart"], [7])
    found = Pipeline(bundle, "coreml-fp16").generate_array(["a red heart"], [7])
    assert 10 * np.log10(1 / np.square(found - right).mean()) > 30


def test_a_compiled_program_is_kept_and_computes_the_same(bundle: Bundle, tmp_path: Path) -> None:
    component = bundle.manifest.variant("coreml-fp16").components["decoder"]
    feeds = {"latents": fixed_feeds(Pipeline(bundle, "fp32"))["decoder"][0]["latents"]}
    engines = [CoreMLEngine(bundle.graph(component), component, "CPU_ONLY", cache=tmp_path) for _ in range(2)]
    assert [path.suffix for path in tmp_path.iterdir()] == [".mlmodelc"]
    first, second = (engine.run(feeds)["image"] for engine in engines)
    np.testing.assert_array_equal(first, second)


def test_a_function_of_a_joined_package(tmp_path: Path) -> None:
    bundles = {}
    for name, half_io in (("base", False), ("lean", True)):
        packages = ConvertConfig("iOS18", half_io=half_io)
        config = ExportConfig("emoji-128", tmp_path / name, ("coreml",), ("fp16",), packages=packages)
        bundles[name] = export(config)
    join_bundles(bundles, "coreml-fp16", tmp_path / "joined")
    feeds = {"latents": np.random.default_rng(0).standard_normal((1, 8, 16, 16)).astype(np.float32)}
    images = []
    for name, path in bundles.items():
        component = Bundle.open(path).manifest.variant("coreml-fp16").components["decoder"]
        engine = CoreMLEngine(tmp_path / "joined/decoder.mlpackage", component, "CPU_ONLY", function=name)
        images.append(engine.run(feeds)["image"])
    assert np.abs(images[0] - images[1]).max() < BOUNDS["fp16"]
