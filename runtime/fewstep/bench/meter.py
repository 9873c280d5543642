"""Timing several variants side by side, in rounds.

Every round calls each variant once, in turn. What slows a machine for a while (another process, heat) then slows all
variants alike, and their medians stay comparable; timing one variant after the other would charge it to one of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from fewstep.guidance import Conditions
from fewstep.noise import gaussian
from fewstep.pipeline import Pipeline
from fewstep.step_table import StepTable
from fewstep.variant import Variant

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
GRAPHS = (
    ("text_encoder", 1),
    ("prompt", 1),
    ("denoiser", 1),
    ("denoiser", 2),
    ("fused_step", 1),
    ("unrolled", 1),
    ("decoder", 1),
)
"""What is timed: (component, batch size) in the order of a generation; the denoiser at batch 2 too, as batched guidance calls it."""


@dataclass(frozen=True)
class Series(Generic[T]):
    """What the first call of a variant and its timed calls gave."""

    first: T
    timed: tuple[T, ...]


@dataclass(frozen=True)
class Drawn:
    """One generation: seconds from prompt to picture, those inside the graphs by component, and the picture."""

    seconds: float
    inside: Mapping[str, float]
    prompt: str
    seed: int
    picture: "Image"

    def shares(self) -> Mapping[str, float]:
        """Where the time went, by component and "host" (outside the graphs); the sum is 1."""
        parts = {**self.inside, "host": self.seconds - sum(self.inside.values())}
        return {name: part / self.seconds for name, part in parts.items()}


def rounds(
    calls: Mapping[str, Callable[[int], T]],
    warmup: int,
    runs: int,
    on_call: Callable[[], None] = lambda: None,
) -> dict[str, Series[T]]:
    """Calls every variant once, then in `warmup` rounds that are not kept, then in `runs` rounds that are.

    A call is given the number of its timed round; the calls before these are given 0. `on_call` comes before every call.
    """

    def one_round(k: int) -> dict[str, T]:
        results = {}
        for name, call in calls.items():
            on_call()
            results[name] = call(k)
        return results

    first = one_round(0)
    for _ in range(warmup):
        one_round(0)
    timed = [one_round(k) for k in range(runs)]
    return {name: Series(first[name], tuple(results[name] for results in timed)) for name in calls}


def timed_graphs(variant: Variant) -> list[tuple[str, int]]:
    """Those of `GRAPHS` that the variant has."""
    return [(component, batch) for component, batch in GRAPHS if component in variant.components]


def component_calls(pipeline: Pipeline, prompt: str) -> dict[tuple[str, int], Callable[[int], float]]:
    """For every one of `timed_graphs` a call that runs the graph once and returns the seconds inside it."""
    shape = pipeline.manifest.latent.shape

    @cache  # not before the text encoder's own first call
    def text() -> Conditions:
        return pipeline.conditions([prompt])

    def inside(component: str) -> float:
        return pipeline.timings.calls[component][-1]

    def encode(k: int) -> float:
        pipeline.conditions([prompt])
        return inside("text_encoder")

    def denoise(batch: int) -> Callable[[int], float]:
        latents = np.stack([gaussian(shape, seed) for seed in range(batch)])
        timestep = np.full(batch, 500.0, dtype=np.float32)

        def call(k: int) -> float:
            conditions = {name: np.repeat(array, batch, axis=0) for name, array in text().items()}
            pipeline.denoise(latents, timestep, conditions)
            return inside("denoiser")

        return call

    def decode(k: int) -> float:
        pipeline.decode(gaussian(shape, 0)[None])
        return inside("decoder")

    def on_ones(component: str) -> Callable[[int], float]:
        network = pipeline.model.networks[component]
        feeds = {
            spec.name: np.ones([1 if isinstance(dim, str) else dim for dim in spec.shape], spec.dtype)
            for spec in pipeline.variant.components[component].inputs
        }

        def call(k: int) -> float:
            network(feeds)
            return inside(component)

        return call

    def graph_call(component: str, batch: int) -> Callable[[int], float]:
        if component == "denoiser":
            return denoise(batch)
        return {"text_encoder": encode, "decoder": decode}.get(component) or on_ones(component)

    return {graph: graph_call(*graph) for graph in timed_graphs(pipeline.variant)}


def generation_call(
    pipeline: Pipeline, prompts: Sequence[str], seed: int, table: StepTable, guidance: float
) -> Callable[[int], Drawn]:
    """A call that draws picture k: the prompt is number k of `prompts`, in turn, and the noise that of seed + k."""

    def call(k: int) -> Drawn:
        prompt = prompts[k % len(prompts)]
        begin = perf_counter()
        picture = pipeline.generate(prompt, seed + k, table, guidance)
        seconds = perf_counter() - begin
        inside = {name: sum(calls) for name, calls in pipeline.timings.calls.items()}
        return Drawn(seconds, inside, prompt, seed + k, picture)

    return call
