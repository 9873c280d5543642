"""What a build costs and what it is like: whole pictures by two variants in turn, on the same noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from fewstep.bench.device import physical_cores, this_device
from fewstep.bundle import Bundle
from fewstep.gate import Gate, Judgement
from fewstep.manifest import Manifest
from fewstep.pipeline import Pipeline
from fewstep.step_table import StepTable
from fewstep_quantization.judges import Judge
from fewstep_quantization.pictures import Pictures, psnr, relative_error

SEED, JUDGED_SEED = 0, 10_000
_RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """Which variants to compare: `build` with `reference`, a picture of every prompt, so many timed rounds.

    `judged` pictures more are drawn for the judge of whole sets, with other seeds.
    """

    build: str
    reference: str
    prompts: Sequence[str]
    table: StepTable
    rounds: int
    threads: int | None = None
    judged: int = 0

    def repeated(self, count: int) -> list[str]:
        """So many prompts, in turn."""
        return [self.prompts[k % len(self.prompts)] for k in range(count)]


@dataclass(frozen=True)
class Measured:
    """The gate's figures (`passed` is still open) and the pictures: of the reference, then of the build."""

    gate: Gate
    reference: Pictures
    build: Pictures


def compare(bundle: Bundle, comparison: Comparison, scheme: str, judge: Judge | None = None) -> Measured:
    """Draws and times.

    Raises:
        FewstepError: a variant cannot be loaded or draws NaN.
    """
    threads = comparison.threads or physical_cores()
    reference, build = (Pipeline(bundle, name, threads) for name in (comparison.reference, comparison.build))
    drawn = [_draw(pipeline, comparison) for pipeline in (reference, build)]
    faster, interval = speedup(reference, build, comparison)
    decibels = psnr(drawn[1][0], drawn[0][0])
    gate = Gate(
        scheme,
        faster,
        interval,
        size(bundle.manifest, comparison),
        round(min(decibels), 2),
        round(sum(decibels) / len(decibels), 2),
        round(relative_error(drawn[1][1], drawn[0][1]), 5),
        len(decibels),
        threads,
        this_device().processor,
        passed=True,
        psnr_interval=mean_interval(decibels),
        judged=_judged(reference, build, comparison, judge) if judge and comparison.judged else {},
        judged_pictures=comparison.judged if judge else 0,
    )
    return Measured(gate, drawn[0][0], drawn[1][0])


def speedup(
    reference: Pipeline, build: Pipeline, comparison: Comparison
) -> tuple[float, tuple[float, float]]:
    """Time of the reference over time of the build, medians of interleaved rounds, with its 95 % interval."""
    first, second = rounds([reference, build], comparison)
    return round(median(first) / median(second), 3), ratio_interval(first, second)


def size(manifest: Manifest, comparison: Comparison) -> float:
    """Bytes of the build's graphs over those of the reference."""
    return round(_bytes(manifest, comparison.build) / _bytes(manifest, comparison.reference), 4)


def _draw(pipeline: Pipeline, comparison: Comparison) -> tuple[Pictures, Pictures]:
    """Pictures and last latents."""
    pictures, latents = [], []
    for k, prompt in enumerate(comparison.prompts):
        last = np.empty(0, dtype=np.float32)

        def keep(_i: int, value: Pictures) -> None:
            nonlocal last
            last = value.copy()

        pictures.append(pipeline.generate_array([prompt], [SEED + k], comparison.table, on_step=keep))
        latents.append(last)
    return np.concatenate(pictures), np.concatenate(latents)


def _judged(
    reference: Pipeline, build: Pipeline, comparison: Comparison, judge: Judge
) -> Mapping[str, Judgement]:
    """What the judge says of `judged` pictures by each, and by the reference from other noise."""
    prompts = comparison.repeated(comparison.judged)

    def drawn(pipeline: Pipeline, first_seed: int) -> Pictures:
        pictures = [
            pipeline.generate_array([prompt], [first_seed + k], comparison.table)
            for k, prompt in enumerate(prompts)
        ]
        return np.concatenate(pictures)

    first, second = JUDGED_SEED, JUDGED_SEED + comparison.judged
    return judge(prompts, drawn(reference, first), drawn(reference, second), drawn(build, first))


def rounds(pipelines: Sequence[Pipeline], comparison: Comparison) -> list[list[float]]:
    """Seconds of one picture by variant: in every round each variant draws the same one, in an order that alternates."""
    times: list[list[float]] = [[] for _ in pipelines]
    for k in range(comparison.rounds):
        order = range(len(pipelines)) if k % 2 == 0 else reversed(range(len(pipelines)))
        for i in order:
            prompt = comparison.prompts[k % len(comparison.prompts)]
            begin = perf_counter()
            pipelines[i].generate_array([prompt], [SEED + k], comparison.table)
            times[i].append(perf_counter() - begin)
    return times


def ratio_interval(reference: Sequence[float], build: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of the ratio of medians when rounds are drawn again with replacement, both variants of a round together."""
    chosen = np.random.default_rng(0).integers(0, len(build), (_RESAMPLES, len(build)))
    ratios = np.median(np.array(reference)[chosen], axis=1) / np.median(np.array(build)[chosen], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return round(float(low), 3), round(float(high), 3)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of the mean when pictures are drawn again with replacement."""
    chosen = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(np.array(values)[chosen].mean(axis=1), (0.025, 0.975))
    return round(float(low), 2), round(float(high), 2)


def _bytes(manifest: Manifest, variant: str) -> int:
    return sum(manifest.bytes_of(c) for c in manifest.variant(variant).components.values())
