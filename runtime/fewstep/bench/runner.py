"""A whole benchmark: cold starts, then every component and the whole generation in rounds over the variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fewstep.bench.cold import ColdStart, Task, cold_start
from fewstep.bench.config import BenchConfig
from fewstep.bench.device import physical_cores, this_device
from fewstep.bench.latency import Latency
from fewstep.bench.meter import Drawn, Series, component_calls, generation_call, rounds
from fewstep.bench.report import FORMAT, VERSION, ComponentReport, Report, Settings, VariantReport
from fewstep.bundle import Bundle
from fewstep.manifest import Manifest, Prompts, Variant
from fewstep.pipeline import Pipeline
from fewstep.step_table import StepTable

OnCall = Callable[[str, int], None]
"""Called before every call with (what is measured, how many calls the benchmark has in all)."""

_FALLBACK_PROMPT = "a red heart"  # for a bundle without examples


@dataclass(frozen=True)
class Benchmark:
    """The report, and by variant what was drawn in the timed rounds."""

    report: Report
    drawn: Mapping[str, tuple[Drawn, ...]]


def bench(config: BenchConfig, on_call: OnCall = lambda what, total: None) -> Benchmark:
    """Measures the variants that the configuration names.

    Raises:
        FewstepError: the bundle, a variant, the sampler or a step count is wrong, or a first picture took too long.
    """
    bundle = Bundle.open(config.bundle)
    manifest = bundle.manifest
    variants = tuple(map(manifest.variant, config.variants)) or manifest.variants
    table = bundle.step_table(config.steps, config.sampler)
    settings = _settings(config, manifest, table)
    prompts = spread(manifest.prompts, config.runs) or (_FALLBACK_PROMPT,)
    total = len(variants) * (
        1 + 5 * (1 + config.warmup + config.runs)
    )  # a cold start, four graphs, the whole

    def tick(what: str) -> None:
        on_call(what, total)

    device = this_device()
    cold = _cold_starts(config, variants, settings.threads, prompts[0], tick)
    pipelines = {v.name: Pipeline(bundle, v.name, settings.threads) for v in variants}
    graphs = _graphs(config, pipelines, prompts[0], tick)
    calls = {
        name: generation_call(pipeline, prompts, settings.seed, table, settings.guidance)
        for name, pipeline in pipelines.items()
    }
    drawn = rounds(calls, config.warmup, config.runs, partial(tick, "prompt to picture"))
    report = Report(
        FORMAT,
        VERSION,
        config.command(),
        manifest.name,
        sum(record.bytes for record in manifest.files.values()),
        device,
        settings,
        tuple(_variant(manifest, v, graphs[v.name], drawn[v.name], cold[v.name]) for v in variants),
    )
    return Benchmark(report, {name: series.timed for name, series in drawn.items()})


def spread(prompts: Prompts, count: int) -> tuple[str, ...]:
    """At most `count` of the examples, evenly apart, each in the style after that of the one before."""
    styled, examples = prompts.in_styles(), len(prompts.examples)
    kept = min(count, examples)
    styles = len(styled) // examples if examples else 0
    return tuple(styled[i * examples // kept * styles + i % styles] for i in range(kept))


def _settings(config: BenchConfig, manifest: Manifest, table: StepTable) -> Settings:
    guidance = manifest.guidance.scale if config.guidance is None else config.guidance
    threads = config.threads or physical_cores()
    return Settings(threads, config.runs, config.warmup, table.name, guidance, config.seed)


def _cold_starts(
    config: BenchConfig, variants: tuple[Variant, ...], threads: int, prompt: str, tick: Callable[[str], None]
) -> dict[str, ColdStart]:
    cold = {}
    for v in variants:
        tick(f"{v.name}: first picture")
        task = Task(
            str(config.bundle),
            v.name,
            threads,
            prompt,
            config.seed,
            config.steps,
            config.sampler,
            config.guidance,
        )
        cold[v.name] = cold_start(task, config.timeout)
    return cold


def _graphs(
    config: BenchConfig, pipelines: Mapping[str, Pipeline], prompt: str, tick: Callable[[str], None]
) -> dict[str, tuple[ComponentReport, ...]]:
    """By variant, the latency of every graph, each measured in rounds of its own."""
    calls = {name: component_calls(pipeline, prompt) for name, pipeline in pipelines.items()}
    reports: dict[str, list[ComponentReport]] = {name: [] for name in calls}
    for component, batch in next(iter(calls.values())):
        series = rounds(
            {name: by_component[component, batch] for name, by_component in calls.items()},
            config.warmup,
            config.runs,
            partial(tick, f"{component}, batch {batch}"),
        )
        for name, times in series.items():
            reports[name].append(ComponentReport(component, batch, Latency.of(times.first, times.timed)))
    return {name: tuple(found) for name, found in reports.items()}


def _variant(
    manifest: Manifest,
    variant: Variant,
    components: tuple[ComponentReport, ...],
    drawn: Series[Drawn],
    cold: ColdStart,
) -> VariantReport:
    return VariantReport(
        variant.name,
        variant.engine,
        variant.precision,
        {name: manifest.files[component.file].bytes for name, component in variant.components.items()},
        components,
        Latency.of(cold.first_picture, [run.seconds for run in drawn.timed]),
        _shares(drawn.timed),
        cold,
    )


def _shares(drawn: tuple[Drawn, ...]) -> dict[str, float]:
    """The shares of the run whose host share is the median one (the lower of the two middle ones), so that they sum to 1."""
    ordered = sorted((run.shares() for run in drawn), key=lambda shares: shares["host"])
    return dict(ordered[(len(ordered) - 1) // 2])
