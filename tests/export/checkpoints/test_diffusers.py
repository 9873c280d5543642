"""Every family against its own pipeline, from prompt to pixels: torch in the runtime's loop first, then the exported graphs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep.records import to_json
from fewstep.samplers import from_diffusers
from fewstep.samplers.diffusers import Options
from fewstep.strict_json import parse_json
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.fixed_inputs import prompts_of
from fewstep_export.picture_loop import PictureTask, draw_torch, psnr

Folder = Callable[[str], Path]
NAMES = (
    "sd1", "sd2", "bk_sdm", "sd_turbo", "lcm", "sdxl", "ssd", "sdxl_turbo", "pixart_alpha", "pixart_1024",
    "pixart_sigma", "dit", "sd3", "sd3_without_t5", "sana", "sana_sprint", "flux_schnell", "flux_dev", "lumina2",
    "z_image",
)  # fmt: skip


def load(folder: Path, size: int | None = None, steps: int = 3) -> Generator:
    """The generator of a folder, with so many steps."""
    generator = load_generator(ExportConfig(str(folder), Path("unused.fewstep"), size=size))
    return replace(generator, sampling=replace(generator.sampling, steps=steps))


def test_every_family_is_tested(tiny_pipelines: ModuleType) -> None:
    assert set(NAMES) == set(tiny_pipelines.CASES)


@pytest.mark.parametrize("name", NAMES)
def test_the_modules_draw_what_the_pipeline_draws(
    name: str, checkpoint: Folder, tiny_pipelines: ModuleType
) -> None:
    case = tiny_pipelines.CASES[name]
    generator = load(checkpoint(name), case.size, case.steps)
    prompts = prompts_of(generator)
    task = PictureTask(prompts, generator.sampling.table(), generator.guidance.scale)
    found = draw_torch(generator, task)
    assert generator.reference is not None
    expected = generator.reference(prompts, generator.sampling, task.guidance)
    assert found.shape == (2, 3, generator.image.size, generator.image.size)
    assert psnr(found, expected) > 100
    other = draw_torch(generator, PictureTask(prompts[::-1], task.table, task.guidance))
    assert psnr(other, expected) < 80  # or a text that is not read would pass


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_draws_what_the_pipeline_draws(
    name: str, checkpoint: Folder, tiny_pipelines: ModuleType, tmp_path: Path
) -> None:
    case = tiny_pipelines.CASES[name]
    config = ExportConfig(
        str(checkpoint(name)), tmp_path / "tiny.fewstep", precisions=("fp32",), steps=case.steps, size=case.size,
        compare=True,
    )  # fmt: skip
    manifest = Bundle.open(export(config)).manifest
    for variant in manifest.variants:
        for component in variant.components:
            check = variant.verification[component]
            assert check.max_abs_error <= check.tolerance
        assert (variant.verification["pictures_pipeline"].psnr or 0) >= 40
    picture = Pipeline(config.output).generate((*manifest.prompts.examples, "a cat")[0])
    assert picture.mode == "RGB"


def test_guidance_is_recognised_from_the_configurations(checkpoint: Folder) -> None:
    def defaults(name: str) -> tuple[float, int, bool]:
        generator = load_generator(ExportConfig(str(checkpoint(name)), Path("unused.fewstep")))
        told = "guidance" in generator.component("denoiser").inputs
        return generator.guidance.scale, generator.sampling.steps, told

    assert defaults("sd1") == (7.5, 50, False)
    assert defaults("sd_turbo") == (1.0, 4, False)  # trailing Euler: a student without guidance
    assert defaults("lcm") == (8.5, 4, True)  # told the scale
    assert defaults("sdxl_turbo") == (1.0, 4, False)
    assert defaults("sana_sprint") == (4.5, 2, True)


@pytest.mark.parametrize("name", ["pixart_alpha", "sana"])
def test_the_configuration_of_a_scheduler_fits_a_manifest(checkpoint: Folder, name: str) -> None:
    """DPM-Solver's has an infinite number, for which JSON has no word."""
    folder = checkpoint(name)
    (own,) = folder.glob("scheduler/scheduler_config.json")
    assert json.loads(own.read_text())["lambda_min_clipped"] == -np.inf
    sampling = load(folder).sampling
    kept = parse_json(json.dumps(to_json(sampling), allow_nan=False).encode(), "manifest")
    assert isinstance(kept, dict) and kept["scheduler"] == sampling.scheduler
    assert sampling.table(4).rows == from_diffusers(own, 4, Options(tokens=sampling.tokens)).rows


def test_another_scheduler_reads_the_configuration(checkpoint: Folder) -> None:
    generator = load(checkpoint("sd1"))
    sampling = replace(generator.sampling, sampler="DPMSolverMultistepScheduler")
    prompts = prompts_of(generator)
    assert generator.reference is not None
    expected = generator.reference(prompts, sampling, 3.0)
    assert psnr(draw_torch(generator, PictureTask(prompts, sampling.table(), 3.0)), expected) > 100


def test_a_negative_prompt_is_read_without_the_instruction(checkpoint: Folder) -> None:
    """Sana puts an instruction before prompts, and leaves its states out; negative prompts go without."""
    model = load(checkpoint("sana")).text_to_image()
    prompt, negative = model.tokens(["a cat"]), model.tokens(["a cat"], negative=True)
    assert prompt["text_skip"][0] > 100 and negative["text_skip"][0] == 0
    assert prompt["text_mask"].sum() > negative["text_mask"].sum() + 100
    conditions = model.conditions(["a cat"])
    assert conditions["text_states"].shape[1] == conditions["states_mask"].shape[1] == 300


def test_sdxl_draws_the_empty_negative_prompt_as_zeros(checkpoint: Folder) -> None:
    assert load(checkpoint("sdxl")).guidance.negative_prompt is None
    assert load(checkpoint("sd1")).guidance.negative_prompt == ""


def test_a_class_has_all_its_names_and_its_number(checkpoint: Folder) -> None:
    model = load(checkpoint("dit")).text_to_image()
    latents, timestep = np.ones((1, 4, 8, 8), np.float32), np.full(1, 500, np.float32)
    names = ("tench", "Tinca tinca", "0", "goldfish", "")
    outputs = [model.denoise(latents, timestep, model.conditions([name])) for name in names]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    for i, other in enumerate(outputs[3:]):
        assert np.abs(outputs[0] - other).max() > 1e-3, names[3 + i]
    with pytest.raises(FewstepError, match=r"expected prompts in the words of classes\.json.*'zebra'"):
        model.conditions(["zebra"])


@pytest.fixture
def copy(checkpoint: Folder, tmp_path: Path) -> Path:
    """A Stable Diffusion folder that a test may break."""
    return Path(shutil.copytree(checkpoint("sd1"), tmp_path / "copy"))


def edit(path: Path, **fields: object) -> None:
    """Changes fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("file", "fields", "message"),
    [
        ("scheduler/scheduler_config.json", {"_class_name": "DreamScheduler"}, "found 'DreamScheduler'"),
        ("scheduler/scheduler_config.json", {"_class_name": "DPMSolverSDEScheduler"}, "a Brownian tree"),
        ("unet/config.json", {"in_channels": 9}, "for 4 latent channels, found in_channels 9"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "class_embed_type null, found timestep"),
        ("unet/config.json", {"down_block_types": ["DownBlock2D", "FancyBlock2D"]}, "FancyBlock2D"),
        ("model_index.json", {"unet": [None, None]}, "expected the part 'transformer', found"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderOobleck"]}, "found AutoencoderOobleck"),
        (
            "model_index.json",
            {"text_encoder": ["transformers", "NoSuchModel"]},
            "of transformers .*'NoSuchModel'",
        ),
        ("model_index.json", {"text_encoder": ["my_code", "Model"]}, "'my_code.Model'.*is not run"),
        ("text_encoder/config.json", {"use_attention_mask": True}, "without attention mask"),
    ],
)
def test_what_cannot_be_exported_is_named(
    copy: Path, file: str, fields: dict[str, object], message: str
) -> None:
    edit(copy / file, **fields)
    with pytest.raises(FewstepError, match=message) as caught:
        load(copy)
    assert "\n" not in str(caught.value)


def test_a_configuration_that_is_no_json_is_named(copy: Path) -> None:
    (copy / "unet/config.json").write_text("{")
    with pytest.raises(FewstepError, match=r"expected JSON, .*unet/config\.json; download the file again"):
        load(copy)


def test_an_unknown_transformer_is_named_with_the_known_ones(checkpoint: Folder, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint("sd3"), tmp_path / "copy"))
    edit(folder / "model_index.json", transformer=["diffusers", "CogView4Transformer2DModel"])
    with pytest.raises(FewstepError, match=r"SD3Transformer2DModel.*found CogView4Transformer2DModel"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("sd1", 33, "a multiple of 4, found 33"),
        ("dit", 32, "expected the size 16, the only one of a DiT, found 32"),
        ("sd3", 64, "a size of at most 48, for which the denoiser has positions, found 64"),
        ("lumina2", 1024, "a size of at most 512, .* found 1024"),
        ("z_image", None, "a size of at most 128, .* found 1024"),
    ],
)
def test_a_size_without_latents_is_refused(
    name: str, size: int | None, message: str, checkpoint: Folder
) -> None:
    with pytest.raises(FewstepError, match=message):
        load(checkpoint(name), size)
