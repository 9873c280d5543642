"""A whole benchmark: cold starts, then every component and the whole generation in rounds over the variants."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fewstep.bench.cold import ColdStart, Task, cold_start
from fewstep.bench.config import BenchConfig
from fewstep.bench.contenders import Contender, contenders, require_engine
from fewstep.bench.device import physical_cores, this_device
from fewstep.bench.latency import Latency
from fewstep.bench.meter import GRAPHS, Drawn, Series, component_calls, generation_call, rounds, timed_graphs
from fewstep.bench.quiet import Load, marks, spread_marks
from fewstep.bench.report import FORMAT, VERSION, ComponentReport, Report, Settings, VariantReport
from fewstep.bundle import Bundle
from fewstep.devices.jetson import Tegrastats
from fewstep.errors import FewstepError
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
    if config.engine == "tensorrt":
        from fewstep.bench.built_here import with_tensorrt

        built = bench(with_tensorrt(config), on_call)
        return replace(built, report=replace(built.report, command=config.command()))
    with Tegrastats() as stats:
        found = _bench(config, on_call)
    device = found.report.device
    device = replace(device, board={**device.board, **stats.facts()})
    return replace(found, report=replace(found.report, device=device))


def _bench(config: BenchConfig, on_call: OnCall) -> Benchmark:
    bundle = Bundle.open(config.bundle)
    manifest = bundle.manifest
    chosen, table = _chosen(config, bundle)
    found = list(contenders(chosen, config.engine))
    settings = _settings(config, manifest, table)
    prompts = spread(manifest.prompts, config.runs) or (_FALLBACK_PROMPT,)
    each = 1 + config.warmup + config.runs
    total = sum(
        1 + each * (1 + len(timed_graphs(c.variant))) for c in found
    )  # a cold start, the whole, every graph

    def tick(what: str) -> None:
        on_call(what, total)

    device, before = this_device(), Load.now()
    cold, skipped = _cold_starts(config, found, table, settings.threads, prompts[0], tick)
    found = [c for c in found if c.name in cold]
    pipelines = {
        c.name: Pipeline(bundle, c.original, settings.threads, engine=c.variant.engine) for c in found
    }
    graphs = _graphs(config, pipelines, prompts[0], tick)
    calls = {
        name: generation_call(pipeline, prompts, settings.seed, table, settings.guidance)
        for name, pipeline in pipelines.items()
    }
    drawn = rounds(calls, config.warmup, config.runs, partial(tick, "prompt to picture"))
    reports = tuple(_variant(manifest, c.variant, graphs[c.name], drawn[c.name], cold[c.name]) for c in found)
    report = Report(
        FORMAT,
        VERSION,
        config.command(),
        manifest.name,
        sum(record.bytes for record in manifest.files.values()),
        device,
        settings,
        reports,
        _speedup(reports) if config.compare else {},
        min(reports, key=lambda report: report.generation.median).name,
        skipped,
        (*marks(before, Load.now(), settings.threads), *_spread(reports)),
    )
    return Benchmark(report, {name: series.timed for name, series in drawn.items()})


def _spread(reports: Sequence[VariantReport]) -> Iterator[str]:
    for report in reports:
        for what, latency in report.latencies:
            yield from spread_marks(f"{report.name}, {what}", latency)


def spread(prompts: Prompts, count: int) -> tuple[str, ...]:
    """At most `count` of the examples, evenly apart, each in the style after that of the one before."""
    styled, examples = prompts.in_styles(), len(prompts.examples)
    kept = min(count, examples)
    styles = len(styled) // examples if examples else 0
    return tuple(styled[i * examples // kept * styles + i % styles] for i in range(kept))


def _chosen(config: BenchConfig, bundle: Bundle) -> tuple[tuple[Variant, ...], StepTable]:
    """The variants that are named, or else all that can run the table, which is the one of a named variant that holds one."""
    named = tuple(map(bundle.manifest.variant, config.variants))
    own = next((v.loop.step_table for v in named if v.loop.step_table is not None), None)
    if own is not None and config.steps is None and config.sampler is None:
        table = bundle.manifest.step_tables[own]
    else:
        table = bundle.step_table(config.steps, config.sampler)
    for variant in named:
        bundle.require_fit(variant, table)
    return named or tuple(v for v in bundle.manifest.variants if bundle.fits(v, table)), table


def _settings(config: BenchConfig, manifest: Manifest, table: StepTable) -> Settings:
    guidance = manifest.guidance.scale if config.guidance is None else config.guidance
    threads = config.threads or physical_cores()
    return Settings(threads, config.runs, config.warmup, table.name, guidance, config.seed)


def _cold_starts(
    config: BenchConfig,
    found: Sequence[Contender],
    table: StepTable,
    threads: int,
    prompt: str,
    tick: Callable[[str], None],
) -> tuple[dict[str, ColdStart], dict[str, str]]:
    """The cold starts, and of the contenders that cannot run here and need not, why."""
    cold, skipped = dict[str, ColdStart](), dict[str, str]()
    for c in found:
        tick(f"{c.name}: first picture")
        task = Task(
            str(config.bundle),
            c.original,
            threads,
            prompt,
            config.seed,
            config.steps,
            config.sampler,
            config.guidance,
            table.name if config.steps is None and config.sampler is None else None,
            c.variant.engine,
        )
        try:
            require_engine(c)
            cold[c.name] = cold_start(task, config.timeout)
        except FewstepError as error:
            if not c.optional:
                raise
            skipped[c.name] = str(error)
    return cold, skipped


def _graphs(
    config: BenchConfig, pipelines: Mapping[str, Pipeline], prompt: str, tick: Callable[[str], None]
) -> dict[str, tuple[ComponentReport, ...]]:
    """By variant, the latency of every graph, each measured in rounds of its own."""
    calls = {name: component_calls(pipeline, prompt) for name, pipeline in pipelines.items()}
    reports: dict[str, list[ComponentReport]] = {name: [] for name in calls}
    for component, batch in sorted(
        {graph for graphs in calls.values() for graph in graphs}, key=GRAPHS.index
    ):
        series = rounds(
            {
                name: graphs[component, batch]
                for name, graphs in calls.items()
                if (component, batch) in graphs
            },
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
        {name: manifest.bytes_of(component) for name, component in variant.components.items()},
        components,
        Latency.of(cold.first_picture, [run.seconds for run in drawn.timed]),
        _shares(drawn.timed),
        cold,
        variant.form,
    )


def _speedup(reports: tuple[VariantReport, ...]) -> dict[str, float]:
    """By "B_over_A", how many times faster than the first each other one draws."""
    first = reports[0]
    return {
        f"{other.name}_over_{first.name}": first.generation.median / other.generation.median
        for other in reports[1:]
    }


def _shares(drawn: tuple[Drawn, ...]) -> dict[str, float]:
    """The shares of the run whose host share is the median one (the lower of the two middle ones), so that they sum to 1."""
    ordered = sorted((run.shares() for run in drawn), key=lambda shares: shares["host"])
    return dict(ordered[(len(ordered) - 1) // 2])
