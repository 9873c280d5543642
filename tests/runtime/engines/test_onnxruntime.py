"""The ONNX Runtime engine: results, and graphs and feeds that it must refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.engines.onnxruntime import OnnxRuntimeEngine
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component


@pytest.fixture
def decoder(tiny_bundle: Path) -> Component:
    return Bundle.open(tiny_bundle).manifest.variant("fp32").components["decoder"]


def latents(batch: int) -> np.ndarray:
    return np.linspace(-2, 2, batch * 4 * 64, dtype=np.float32).reshape(batch, 4, 8, 8)


def test_onnx_and_ort_files_give_the_same_pictures_at_any_batch(
    tiny_bundle: Path, decoder: Component
) -> None:
    a = OnnxRuntimeEngine(tiny_bundle / "ort/fp32/decoder.onnx", decoder, threads=1)
    b = OnnxRuntimeEngine(tiny_bundle / "ort/fp32-ort/decoder.ort", decoder, threads=2)
    for batch in (1, 3):
        image = a.run({"latents": latents(batch)})["image"]
        assert image.shape == (batch, 4, 16, 16)
        assert (image[:, :3] <= image[:, 3:]).all()
        np.testing.assert_allclose(b.run({"latents": latents(batch)})["image"], image, atol=1e-6)
    assert a.seconds > 0


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        (
            {"latents": latents(1)[:, :3]},
            r"expected float32 \['batch', 4, 8, 8\], found float32 \[1, 3, 8, 8\]",
        ),
        ({"latents": latents(1)[0]}, r"found float32 \[4, 8, 8\], for tensor 'latents'"),
        ({"latents": latents(1).astype(np.float64)}, "found float64"),
        ({"x": latents(1)}, "expected the tensor 'latents', found x"),
        ({}, "expected the tensors latents, found none"),
    ],
)
def test_a_wrong_feed_is_refused(
    tiny_bundle: Path, decoder: Component, feeds: dict[str, np.ndarray], message: str
) -> None:
    engine = OnnxRuntimeEngine(tiny_bundle / decoder.file, decoder)
    with pytest.raises(FewstepError, match=message):
        engine.run(feeds)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("file", ["ort/fp32/denoiser.onnx", "ort/fp32-ort/denoiser.ort"])
def test_a_truncated_graph_is_refused(bundle_copy: Path, file: str, part: float) -> None:
    component = Bundle.open(bundle_copy).manifest.variant("fp32").components["denoiser"]
    path = bundle_copy / file
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(BundleError, match="export the bundle again") as caught:
        OnnxRuntimeEngine(path, component)
    assert "\n" not in str(caught.value)


def test_a_graph_with_another_signature_is_refused(tiny_bundle: Path, decoder: Component) -> None:
    path = tiny_bundle / decoder.file
    (spec,) = decoder.inputs
    for wrong, message in [
        (replace(spec, name="z"), "expected a tensor 'z', found latents"),
        (replace(spec, dtype="float16"), "expected 'latents' as float16"),
        (replace(spec, shape=("batch", 4, 8, 9)), r"found tensor\(float\)"),
        (replace(spec, shape=("batch", 4, 64)), r"as float32 \['batch', 4, 64\]"),
    ]:
        with pytest.raises(BundleError, match=message):
            OnnxRuntimeEngine(path, replace(decoder, inputs=(wrong,)))
    with pytest.raises(BundleError, match="expected no further tensor, found 'latents'"):
        OnnxRuntimeEngine(path, replace(decoder, inputs=()))


def test_threads_must_be_positive(tiny_bundle: Path, decoder: Component) -> None:
    with pytest.raises(FewstepError, match="expected at least 1 thread, found 0"):
        OnnxRuntimeEngine(tiny_bundle / decoder.file, decoder, threads=0)


def test_outputs_are_written_into_the_callers_arrays(tiny_bundle: Path, decoder: Component) -> None:
    engine = OnnxRuntimeEngine(tiny_bundle / decoder.file, decoder)
    feeds, image = {"latents": latents(2)}, np.full((2, 4, 16, 16), np.nan, dtype=np.float32)
    engine.write(feeds, {"image": image})
    assert np.array_equal(image, engine.run(feeds)["image"])
    assert engine.seconds > 0


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.empty((2, 4, 16, 15), dtype=np.float32), r"found float32 \[2, 4, 16, 15\], for tensor 'image'"),
        (
            np.empty((2, 4, 16, 32), dtype=np.float32)[..., ::2],
            "expected contiguous arrays, found one with strides",
        ),
        (np.empty((3, 4, 16, 16), dtype=np.float32), "expected ort/fp32/decoder.onnx to run, found an error"),
    ],
)
def test_arrays_that_cannot_take_the_outputs_are_refused(
    tiny_bundle: Path, decoder: Component, image: np.ndarray, message: str
) -> None:
    engine = OnnxRuntimeEngine(tiny_bundle / decoder.file, decoder)
    with pytest.raises(FewstepError, match=message):
        engine.write({"latents": latents(2)}, {"image": image})
