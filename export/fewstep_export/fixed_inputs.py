"""The inputs on which every build of a component is compared with torch: fixed noise, tokens of real prompts, several timesteps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fewstep.noise import gaussian
from fewstep.step_table import StepTable
from fewstep.verification import fixed_prompts
from fewstep_export.components import Array, Exportable, Feeds, Generator

Cases = Mapping[str, Sequence["Case"]]
"""Cases by component."""


@dataclass(frozen=True)
class Case:
    """Inputs of a component, the outputs of the torch module, and where these count (masks that broadcast to the outputs).

    States of padding do not count where a mask goes with them: no later layer reads them, and in a text of two tokens they are mostly
    rounding.
    """

    feeds: Feeds
    expected: Mapping[str, Array]
    where: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


def prompts_of(generator: Generator) -> tuple[str, str]:
    """Two prompts that suit the model."""
    return fixed_prompts(generator.prompts)


def fixed_cases(generator: Generator, table: StepTable) -> Cases:
    """By component, cases with batches of 1 and 2; the first of each list has a batch of 2."""
    cases: dict[str, Sequence[Case]] = {}
    for component in generator.components:
        feeds = component_feeds(generator, table, component.name, cases.get("text_encoder", ()))
        cases[component.name] = [case_of(generator, component, feed) for feed in feeds]
    return cases


def component_feeds(
    generator: Generator, table: StepTable, name: str, encoded: Sequence[Case]
) -> list[Feeds]:
    """The fixed inputs of one component; `encoded` are the cases of the text encoder, if there is one."""
    if name == "text_encoder":
        return _texts(generator)
    if name == "decoder":
        return _decoder_feeds(generator)
    conditions = [{**case.feeds, **case.expected} for case in encoded] or _texts(generator)
    return _denoiser_feeds(generator, table, conditions)


def case_of(generator: Generator, component: Exportable, feeds: Feeds) -> Case:
    """Inputs of a component with its outputs."""
    expected = component.run(feeds)
    if component.name != "text_encoder" or "text_mask" not in generator.component("denoiser").inputs:
        return Case(feeds, expected)
    mask = expected.get("text_mask", feeds["text_mask"])
    return Case(feeds, expected, {"text_states": mask[..., None] > 0})


def _texts(generator: Generator) -> list[Feeds]:
    """The tokens of the empty negative prompt with a prompt, as guidance has them, then of a prompt alone."""
    model, (first, second) = generator.text_to_image(), prompts_of(generator)
    empty, prompt = model.tokens([""], negative=True), model.tokens([first])
    pair = {name: np.concatenate([empty[name], tensor]) for name, tensor in prompt.items()}
    return [pair, model.tokens([second])]


def _denoiser_feeds(generator: Generator, table: StepTable, conditions: Sequence[Feeds]) -> list[Feeds]:
    """Both text batches at the first, the middle and the last timestep of the table."""
    rows, inputs = table.rows, generator.component("denoiser").inputs
    feeds: list[Feeds] = []
    for seed, row in enumerate((rows[0], rows[len(rows) // 2], rows[-1])):
        for texts in conditions:
            batch = len(texts["input_ids"])
            given = {
                **texts,
                "latents": _latents(generator, batch, seed),
                "timestep": np.full(batch, row.timestep, dtype=np.float32),
                "guidance": np.full(batch, generator.guidance.scale, dtype=np.float32),
            }
            feeds.append({name: given[name] for name in inputs})
    return feeds


def _decoder_feeds(generator: Generator) -> list[Feeds]:
    """Latents of the right statistics: noise, un-normalised."""
    scale, shift = (
        np.array(values, dtype=np.float32)[:, None, None]
        for values in (generator.latent.scale, generator.latent.shift)
    )
    return [{"latents": _latents(generator, batch, seed=batch) / scale + shift} for batch in (2, 1)]


def _latents(generator: Generator, batch: int, seed: int) -> npt.NDArray[np.float32]:
    return gaussian((batch, *generator.latent.shape), seed)
