"""Whole pictures, from prompt to pixels, by torch and by builds: the sum of all errors, where it counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep.network import Run
from fewstep.pipeline import Pipeline
from fewstep.step_table import StepTable
from fewstep.text_to_image import Drawing, TextToImage
from fewstep_export.components import Generator

MINIMUM_PSNR, MINIMUM_PSNR_FP32 = 35.0, 40.0
Pictures = npt.NDArray[np.float32]
"""(B, channels, H, W), RGB or premultiplied RGBA, in [0, 1]."""


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


def draw(model: TextToImage, task: PictureTask) -> Pictures:
    """The pictures of the task, each in a pass of its own."""
    drawings = [
        Drawing([prompt], [seed], task.table, task.guidance)
        for prompt, seed in zip(task.prompts, task.seeds, strict=True)
    ]
    return np.concatenate([model.draw(drawing) for drawing in drawings])


def draw_torch(generator: Generator, task: PictureTask) -> Pictures:
    """The pictures of the task by the torch modules, in the runtime's own loop."""
    return draw(generator.text_to_image(), task)


def draw_with(generator: Generator, runs: Mapping[str, Run], task: PictureTask) -> Pictures:
    """The pictures of the task by builds of the networks."""
    return draw(generator.text_to_image(runs), task)


def draw_bundle(pipeline: Pipeline, task: PictureTask) -> Pictures:
    """The pictures of the task by the runtime, with its guidance mode."""
    pictures = [
        pipeline.generate_array([prompt], [seed], task.table, task.guidance)
        for prompt, seed in zip(task.prompts, task.seeds, strict=True)
    ]
    return np.concatenate(pictures)


def psnr(found: Pictures, expected: Pictures) -> float:
    """Peak signal-to-noise ratio 10 log10(1 / MSE) in dB of the worst picture; at most 200, and 0 for values that are not finite."""
    mse = np.square(found.astype(np.float64) - expected).mean(axis=(1, 2, 3)).max()
    return 10 * log10(1 / max(float(mse), 1e-20)) if np.isfinite(mse) else 0.0


def verify_pictures(
    found: Pictures, expected: Pictures, build: str, minimum: float = MINIMUM_PSNR, right: str = "torch"
) -> Verification:
    """Compares pictures with those of torch, or of what else is right.

    Raises:
        FewstepError: the PSNR of the worst picture is below `minimum` (dB).
    """
    decibels = psnr(found, expected)
    if decibels < minimum:
        raise FewstepError(
            f"expected pictures in {build} within {minimum:g} dB PSNR of {right}, found {decibels:.1f} dB; export without it"
        )
    error = float(np.abs(found - expected).max())
    return Verification(error, output_scale=1.0, tolerance=10 ** (-minimum / 20), psnr=decibels)
