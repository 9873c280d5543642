"""The inputs on which every build of a component is compared with torch: fixed noise, tokens of real prompts, several timesteps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewstep.noise import gaussian
from fewstep.step_table import StepTable
from fewstep.tokenizer import Tokenizer
from fewstep_export.components import Component, Feeds, Generator

Cases = Mapping[str, Sequence["Case"]]
"""Cases by component."""

PROMPTS = ("a red heart", "a smiling cat")
"""For checkpoints that bring no examples of their own."""


@dataclass(frozen=True)
class Case:
    """Inputs of a component, the output of the torch module, and where it counts (a mask that broadcasts to the output).

    States of padding do not count: no later layer reads them, and in a text of two tokens they are mostly rounding.
    """

    feeds: Feeds
    expected: npt.NDArray[np.float32]
    where: npt.NDArray[np.bool_]


def prompts_of(generator: Generator) -> tuple[str, str]:
    """Two prompts that suit the model."""
    examples, styles = generator.config.examples, generator.config.styles
    suffix = f", {styles[0]} style" if styles else ""
    first, second = (tuple(f"{example}{suffix}" for example in examples) + PROMPTS)[:2]
    return first, second


def fixed_cases(generator: Generator, table: StepTable) -> Cases:
    """By component, cases with batches of 1 and 2; the first of each list has a batch of 2."""
    text = _text_feeds(generator)
    encoded = [
        Case(feeds, generator.text_encoder.run(feeds), feeds["text_mask"][..., None] > 0) for feeds in text
    ]
    return {
        "text_encoder": encoded,
        "denoiser": [
            _case(generator.denoiser, feeds) for feeds in _denoiser_feeds(generator, table, encoded)
        ],
        "decoder": [_case(generator.decoder, feeds) for feeds in _decoder_feeds(generator)],
    }


def _case(component: Component, feeds: Feeds) -> Case:
    return Case(feeds, component.run(feeds), np.array(True))


def _text_feeds(generator: Generator) -> list[Feeds]:
    """A prompt with the empty one, as guidance has them, then a prompt alone."""
    tokenizer = Tokenizer(generator.tokenizer, generator.config.max_length)
    first, second = prompts_of(generator)
    batches = [tokenizer.encode(texts) for texts in (["", first], [second])]
    return [{"input_ids": ids, "text_mask": mask} for ids, mask in batches]


def _denoiser_feeds(generator: Generator, table: StepTable, encoded: Sequence[Case]) -> list[Feeds]:
    """Both text batches at the first, the middle and the last timestep of the table."""
    rows = table.rows
    timesteps = [rows[i].timestep for i in (0, len(rows) // 2, len(rows) - 1)]
    return [
        {
            "latents": _latents(generator, len(case.expected), seed),
            "timestep": np.full(len(case.expected), timestep, dtype=np.float32),
            "text_states": case.expected,
            "text_mask": case.feeds["text_mask"],
        }
        for seed, timestep in enumerate(timesteps)
        for case in encoded
    ]


def _decoder_feeds(generator: Generator) -> list[Feeds]:
    """Latents of the right statistics: noise, un-normalised."""
    scale, shift = (
        np.array(values, dtype=np.float32)[:, None, None]
        for values in (generator.config.latent.scale, generator.config.latent.shift)
    )
    return [{"latents": _latents(generator, batch, seed=batch) / scale + shift} for batch in (2, 1)]


def _latents(generator: Generator, batch: int, seed: int) -> npt.NDArray[np.float32]:
    config = generator.config.denoiser
    return gaussian((batch, config.latent_channels, config.size, config.size), seed)
