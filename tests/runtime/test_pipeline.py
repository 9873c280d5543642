"""The pipeline on the tiny bundle: determinism, guidance modes, batches, variants, refused bundles."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import BundleError, FewstepError, IntegrityError, NonFiniteError
from fewstep.loop import Array
from fewstep.noise import gaussian
from fewstep.pipeline import Pipeline
from fewstep.samplers import compile_table, flow_sigmas


@pytest.fixture
def pipeline(tiny_bundle: Path) -> Pipeline:
    return Pipeline(tiny_bundle, threads=1)


def draw(pipeline: Pipeline, prompt: str = "a red heart", seed: int = 7, **options: object) -> Array:
    return pipeline.generate_array([prompt], [seed], **options)  # type: ignore[arg-type]


def test_the_picture_follows_the_formulas(pipeline: Pipeline) -> None:
    """Euler steps, guidance and un-normalisation written out by hand around the same graphs."""
    c, u = pipeline.conditions(["a red heart"]), pipeline.conditions([""])
    x = gaussian((1, 4, 8, 8), 7)
    for sigma, after in pairwise(flow_sigmas(4, 3.0)):
        t = np.full(1, 1000 * sigma, dtype=np.float32)
        m_c, m_0 = pipeline.denoise(x, t, c), pipeline.denoise(x, t, u)
        x += np.float32(after - sigma) * (m_0 + np.float32(3.0) * (m_c - m_0))
    scale, shift = (np.reshape(values, (4, 1, 1)) for values in ([0.5, 1, 2, 1.5], [0, 0.1, 0.2, -0.1]))
    z = (x / scale + shift).astype(np.float32)
    expected = pipeline._engines["decoder"].run({"latents": z})["image"]
    np.testing.assert_allclose(draw(pipeline, table="flow-euler-4"), expected, atol=1e-5)


def test_the_same_seed_gives_the_same_bits(tiny_bundle: Path) -> None:
    first, second = (draw(Pipeline(tiny_bundle, threads=1)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    picture, again = (Pipeline(tiny_bundle).generate("a red heart", 7).tobytes() for _ in range(2))
    assert picture == again


def test_seed_prompt_negative_prompt_guidance_and_table_all_matter(pipeline: Pipeline) -> None:
    base = draw(pipeline)
    for other in (
        draw(pipeline, seed=8),
        draw(pipeline, prompt="a blue star"),
        draw(pipeline, negative_prompt="a star"),
        draw(pipeline, guidance=1.0),
        draw(pipeline, table=compile_table("flow-euler", 3, 3.0)),
    ):
        assert np.abs(other - base).max() > 1e-3


@pytest.mark.parametrize("guidance", [1.0, 3.0, 7.5])
def test_batched_and_sequential_guidance_agree(tiny_bundle: Path, guidance: float) -> None:
    batched, sequential = (
        draw(Pipeline(tiny_bundle, threads=1, guidance_mode=mode), guidance=guidance)
        for mode in ("batched", "sequential")
    )
    np.testing.assert_allclose(batched, sequential, atol=1e-5)


def test_a_picture_is_the_same_alone_and_in_a_batch(pipeline: Pipeline) -> None:
    prompts, seeds = ["a red heart", "a blue star", "a heart"], [3, 4, 5]
    batch = pipeline.generate_array(prompts, seeds)
    assert batch.shape == (3, 4, 16, 16)
    for image, prompt, seed in zip(batch, prompts, seeds, strict=True):
        np.testing.assert_allclose(image, draw(pipeline, prompt, seed)[0], atol=1e-5)


def test_every_variant_draws_the_same(tiny_bundle: Path) -> None:
    onnx, ort = (draw(Pipeline(tiny_bundle, variant)) for variant in ("fp32", "fp32-ort"))
    np.testing.assert_allclose(onnx, ort, atol=1e-5)


def test_graphs_of_one_size_draw_that_alone(pipeline: Pipeline) -> None:
    size = pipeline.manifest.image.size
    assert pipeline.generate("a red heart", size=(size, size)).size == (size, size)
    with pytest.raises(
        FewstepError,
        match=rf"expected {size} x {size} pixels, the one size of variant 'fp32', found {size}x64; leave the size out",
    ):
        pipeline.generate("a red heart", size=(size, 64))


def test_timings_hold_every_call_and_steps_are_reported(pipeline: Pipeline) -> None:
    seen: list[int] = []
    draw(pipeline, table=compile_table("flow-dpm++2m", 6, 3.0), on_step=lambda i, _x: seen.append(i))
    assert seen == list(range(6))
    assert {name: len(calls) for name, calls in pipeline.timings.calls.items()} == {
        "text_encoder": 2,
        "denoiser": 6,
        "decoder": 1,
    }
    assert 0 < pipeline.timings.host_share < 1
    draw(pipeline, guidance=1.0)
    assert len(pipeline.timings.calls["text_encoder"]) == 1


def test_the_picture_has_straight_alpha(pipeline: Pipeline) -> None:
    image, picture = draw(pipeline)[0], pipeline.generate("a red heart", 7)
    assert (picture.mode, picture.size) == ("RGBA", (16, 16))
    pixels = np.asarray(picture, dtype=np.float32) / 255
    np.testing.assert_allclose(pixels[..., 3], image[3], atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(
        pixels[..., :3] * image[3][..., None], image[:3].transpose(1, 2, 0), atol=0.5 / 255 + 1e-6
    )


def test_a_changed_byte_is_refused_where_it_is_used(bundle_copy: Path) -> None:
    path = bundle_copy / "ort/fp32/decoder.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(IntegrityError, match=r"expected SHA-256 .*decoder\.onnx"):
        Pipeline(bundle_copy)
    Pipeline(bundle_copy, "fp32-ort")  # that variant does not read the file


def test_a_truncated_graph_is_refused_even_when_the_manifest_agrees(
    bundle_copy: Path, resign: Callable[..., None]
) -> None:
    path = bundle_copy / "ort/fp32/denoiser.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    resign(bundle_copy)
    with pytest.raises(BundleError, match=r"found a broken one, in .*denoiser\.onnx"):
        Pipeline(bundle_copy)


def test_pixels_that_are_not_finite_are_refused(bundle_copy: Path) -> None:
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["latent"]["shift"] = [3e38, 3e38, 3e38, 3e38]
    manifest["latent"]["scale"] = [1e-38, 1e-38, 1e-38, 1e-38]
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        NonFiniteError, match=r"found \d+ NaN of 1024 numbers, in .image. of the decoder, variant"
    ):
        Pipeline(bundle_copy).generate("a heart")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "ddim-50"}, "expected one of the step tables flow-dpm.*, found 'ddim-50'"),
        ({"guidance": float("inf")}, "expected a finite guidance scale, found inf"),
        ({"prompt": "red " * 10_000}, "at most 8 tokens, found 10002 tokens"),
        ({"negative_prompt": "red " * 10}, "at most 8 tokens, found 12 tokens"),
        ({"seed": -1}, "expected a seed from 0"),
    ],
)
def test_requests_that_cannot_be_drawn_are_refused(
    pipeline: Pipeline, options: dict[str, object], message: str
) -> None:
    with pytest.raises(FewstepError, match=message):
        draw(pipeline, **options)  # type: ignore[arg-type]


def test_settings_of_the_pipeline_are_checked(
    tiny_bundle: Path, bundle_copy: Path, resign: Callable[..., None]
) -> None:
    with pytest.raises(BundleError, match="expected one of the variants fp32, fp32-ort, found 'int8'"):
        Pipeline(tiny_bundle, "int8")
    with pytest.raises(FewstepError, match="expected guidance mode batched or sequential, found 'both'"):
        Pipeline(tiny_bundle, guidance_mode="both")  # type: ignore[arg-type]
    with pytest.raises(FewstepError, match="one seed for each of 1 or more prompts, found 1 for 2"):
        Pipeline(tiny_bundle).generate_array(["a", "b"], [1])
    resign(bundle_copy, lambda manifest: manifest["variants"][0].update(engine="abacus"))
    with pytest.raises(
        BundleError,
        match="expected the engine onnxruntime, openvino, coreml or tensorrt, found 'abacus', in variant 'fp32'",
    ):
        Pipeline(bundle_copy)
