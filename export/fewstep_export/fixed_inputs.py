"""The inputs on which every build of a component is compared with torch: fixed noise, tokens of real prompts, several timesteps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fewstep.fixed_feeds import fixed_prompts, latent_feeds, step_feeds, text_feeds
from fewstep.step_table import StepTable
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
    if name == "decoder":
        return latent_feeds(generator.latent)
    conditions: list[Feeds] = [{**case.feeds, **case.expected} for case in encoded]
    if name == "text_encoder" or not conditions:
        conditions = text_feeds(generator.text_to_image(), generator.prompts)
    if name == "text_encoder":
        return conditions
    inputs = generator.component("denoiser").inputs
    steps = step_feeds(generator.latent, generator.guidance.scale, table, conditions)
    return [{name: feed[name] for name in inputs} for feed in steps]


def case_of(generator: Generator, component: Exportable, feeds: Feeds) -> Case:
    """Inputs of a component with its outputs."""
    expected = component.run(feeds)
    if component.name != "text_encoder" or "text_mask" not in generator.component("denoiser").inputs:
        return Case(feeds, expected)
    mask = expected.get("text_mask", feeds["text_mask"])
    return Case(feeds, expected, {"text_states": mask[..., None] > 0})
