"""The inputs on which an export measures its errors, and on which `fewstep verify` measures them again."""

from collections.abc import Sequence

import numpy as np

from fewstep.manifest import Latent, Prompts
from fewstep.network import Feeds
from fewstep.noise import gaussian
from fewstep.step_table import StepTable
from fewstep.text_to_image import TextToImage

PROMPTS = ("a red heart", "a smiling cat")
"""For models that bring no examples of their own."""


def fixed_prompts(prompts: Prompts) -> tuple[str, str]:
    """Two prompts that suit the model."""
    suffix = f", {prompts.styles[0]} style" if prompts.styles else ""
    first, second = (tuple(f"{example}{suffix}" for example in prompts.examples) + PROMPTS)[:2]
    return first, second


def text_feeds(model: TextToImage, prompts: Prompts) -> list[Feeds]:
    """The tokens of the empty negative prompt with a prompt, as guidance has them, then of a prompt alone."""
    first, second = fixed_prompts(prompts)
    empty, prompt = model.tokens([""], negative=True), model.tokens([first])
    pair = {name: np.concatenate([empty[name], tensor]) for name, tensor in prompt.items()}
    return [pair, model.tokens([second])]


def step_feeds(latent: Latent, scale: float, table: StepTable, conditions: Sequence[Feeds]) -> list[Feeds]:
    """All that a denoiser may be told: both text batches at the first, the middle and the last timestep of the table.

    Args:
        latent: whose shape the noise has.
        scale: of guidance, for a denoiser that is told it.
        table: its rows have the timesteps.
        conditions: tokens with the outputs of the text encoder, by batch.
    """
    rows = table.rows
    return [
        {
            **texts,
            "latents": gaussian((batch := len(texts["input_ids"]), *latent.shape), seed),
            "timestep": np.full(batch, row.timestep, dtype=np.float32),
            "guidance": np.full(batch, scale, dtype=np.float32),
        }
        for seed, row in enumerate((rows[0], rows[len(rows) // 2], rows[-1]))
        for texts in conditions
    ]


def latent_feeds(latent: Latent) -> list[Feeds]:
    """Latents of the right statistics for a decoder, batches of 2 and 1: noise, un-normalised; the batch is its seed."""
    scale, shift = (
        np.array(values, dtype=np.float32)[:, None, None] for values in (latent.scale, latent.shift)
    )
    return [{"latents": gaussian((batch, *latent.shape), batch) / scale + shift} for batch in (2, 1)]
