"""Whole pictures, from prompt to pixels, by torch and by builds: the sum of all errors, where it counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep.guidance import TextStates, guide
from fewstep.loop import run as run_table
from fewstep.manifest import Verification
from fewstep.noise import gaussian
from fewstep.pipeline import Pipeline
from fewstep.step_table import StepTable
from fewstep.tokenizer import Tokenizer
from fewstep_export.components import Generator
from fewstep_export.session import Run

MINIMUM_PSNR = 35.0
Pictures = npt.NDArray[np.float32]
"""(B, 4, H, W), premultiplied RGBA in [0, 1]."""


@dataclass(frozen=True)
class PictureTask:
    """What to draw: one picture a prompt, picture k from the noise of seed k."""

    prompts: tuple[str, ...]
    table: StepTable
    guidance: float

    @property
    def seeds(self) -> list[int]:
        """One seed a picture."""
        return list(range(len(self.prompts)))


def draw(generator: Generator, runs: Mapping[str, Run], task: PictureTask) -> Pictures:
    """The pictures of the task with the given networks, in the runtime's own loop.

    Every picture has its own pass with a batch of 2 (unconditional, conditional), as the runtime's batched guidance.
    """
    return np.concatenate([_draw_one(generator, runs, task, k) for k in range(len(task.prompts))])


def draw_torch(generator: Generator, task: PictureTask) -> Pictures:
    """The pictures of the task by the torch modules."""
    return draw(generator, {component.name: component.run for component in generator.components}, task)


def draw_bundle(pipeline: Pipeline, task: PictureTask) -> Pictures:
    """The pictures of the task by the runtime."""
    pictures = [
        pipeline.generate_array([prompt], [seed], task.table, task.guidance)
        for prompt, seed in zip(task.prompts, task.seeds, strict=True)
    ]
    return np.concatenate(pictures)


def psnr(found: Pictures, expected: Pictures) -> float:
    """Peak signal-to-noise ratio 10 log10(1 / MSE) in dB of the worst picture; at most 200, and 0 for values that are not finite."""
    mse = np.square(found.astype(np.float64) - expected).mean(axis=(1, 2, 3)).max()
    return 10 * log10(1 / max(float(mse), 1e-20)) if np.isfinite(mse) else 0.0


def verify_pictures(found: Pictures, expected: Pictures, build: str) -> Verification:
    """Compares pictures with those of torch.

    Raises:
        FewstepError: the PSNR of the worst picture is below MINIMUM_PSNR.
    """
    decibels = psnr(found, expected)
    if decibels < MINIMUM_PSNR:
        raise FewstepError(
            f"expected pictures in {build} within {MINIMUM_PSNR:g} dB PSNR of torch, found {decibels:.1f} dB; export without it"
        )
    error = float(np.abs(found - expected).max())
    return Verification(error, output_scale=1.0, tolerance=10 ** (-MINIMUM_PSNR / 20), psnr=decibels)


def _draw_one(generator: Generator, runs: Mapping[str, Run], task: PictureTask, k: int) -> Pictures:
    config = generator.config
    tokenizer = Tokenizer(generator.tokenizer, config.max_length)

    def encode(prompt: str) -> TextStates:
        input_ids, text_mask = tokenizer.encode([prompt])
        return TextStates(runs["text_encoder"]({"input_ids": input_ids, "text_mask": text_mask}), text_mask)

    def denoise(x: Pictures, timestep: Pictures, text_states: Pictures, text_mask: Pictures) -> Pictures:
        return runs["denoiser"](
            {"latents": x, "timestep": timestep, "text_states": text_states, "text_mask": text_mask}
        )

    def noise(stream: int) -> Pictures:
        return gaussian(
            (1, config.denoiser.latent_channels, config.denoiser.size, config.denoiser.size),
            task.seeds[k],
            stream,
        )

    model = guide(denoise, encode(task.prompts[k]), encode(""), task.guidance, "batched")
    *_, (_, latents) = run_table(task.table, noise, model)
    scale, shift = (
        np.array(v, dtype=np.float32)[:, None, None] for v in (config.latent.scale, config.latent.shift)
    )
    return runs["decoder"]({"latents": latents / scale + shift})
