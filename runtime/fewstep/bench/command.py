"""Running a benchmark with a progress bar and writing what it found; the body of `fewstep bench`."""

import json
import sys
from pathlib import Path

from rich.console import Console

from fewstep import atomic
from fewstep.bench.config import BenchConfig
from fewstep.bench.html import page
from fewstep.bench.report import Report
from fewstep.bench.runner import Benchmark, bench
from fewstep.bench.table import latency_table, resource_table
from fewstep.devices.ssh import Remote
from fewstep.errors import FewstepError
from fewstep.progress import progress_bar


def run(
    config: BenchConfig, json_file: str | None, html_file: Path | None, remote: Remote | None = None
) -> None:
    """Measures here or on a board, prints tables to standard error, and writes JSON ("-": standard output) and HTML where asked.

    Raises:
        FewstepError: the configuration does not fit the bundle.
        OSError: a file cannot be written; known before anything is measured, unless the disk fills meanwhile.
    """
    files = [Path(json_file)] if json_file not in (None, "-") else []
    for file in [*files, *([html_file] if html_file else [])]:
        atomic.require_writable(file)
    console = Console(stderr=True)
    benchmark = _measure(config, console) if remote is None else _measure_on(remote, config, console)
    console.print(latency_table(benchmark.report), resource_table(benchmark.report))
    _print_best(benchmark.report, console)
    _print_marks(benchmark.report, console)
    if config.require_quiet and benchmark.report.marks:
        raise FewstepError(
            f"expected a quiet machine, found that {benchmark.report.marks[0]}; end other work, or leave out --require-quiet"
        )
    text = json.dumps(benchmark.report.to_dict(), indent=2, ensure_ascii=False) + "\n"
    if html_file:
        atomic.write_bytes(html_file, page(benchmark).encode())
    if json_file == "-":
        sys.stdout.write(text)
    elif json_file:
        atomic.write_bytes(Path(json_file), text.encode())


def _print_marks(report: Report, console: Console) -> None:
    """What was wrong with the machine meanwhile."""
    for mark in report.marks:
        console.print(f"not quiet: {mark}", soft_wrap=True, highlight=False, markup=False)


def _print_best(report: Report, console: Console) -> None:
    """The fastest of several, and what was left out."""
    if len(report.variants) > 1 and report.fastest:
        console.print(f"fastest here: {report.fastest}")
    for name, reason in report.skipped.items():
        console.print(f"not measured: {name}: {reason}", soft_wrap=True, highlight=False)


def _measure(config: BenchConfig, console: Console) -> Benchmark:
    with progress_bar(console=console) as progress:
        bar = progress.add_task("opening", total=1)

        def on_call(what: str, total: int) -> None:
            progress.update(bar, description=what, total=total, advance=1)

        return bench(config, on_call)


def _measure_on(remote: Remote, config: BenchConfig, console: Console) -> Benchmark:
    from fewstep.devices.remote_bench import bench_on

    with progress_bar(console=console) as progress:
        bar = progress.add_task("connecting", total=None)

        def on_stage(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total or None)

        return Benchmark(bench_on(remote, config, on_stage), {})
