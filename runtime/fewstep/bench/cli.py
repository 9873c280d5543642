"""The command `fewstep bench`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command()(bench)


def bench(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
    ],
    variant: Annotated[
        list[str] | None, typer.Option(help="Build to measure, may be repeated; all if not given.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads inside one operator; one a physical core if not given.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Timed rounds over the variants.")] = 10,
    warmup: Annotated[int, typer.Option(help="Rounds before them that are not counted.")] = 2,
    steps: Annotated[int | None, typer.Option(help="Evaluations of the network.", show_default=False)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="A name of docs/samplers.md, like flow-euler.", show_default=False)
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Scale; 1 is off.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Noise seed; run k takes seed + k.")] = 0,
    compare_precisions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Measure these variants alone, and say how much faster than A each is."
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a first picture may take.")] = 600.0,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write all figures as JSON; - is standard output."),
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts and pictures.")
    ] = None,
) -> None:
    """Measure latency, memory, size and host share of the variants of BUNDLE on this device."""
    from fewstep.bench.config import BenchConfig

    config = BenchConfig(
        bundle,
        tuple(compare_precisions.split(",") if compare_precisions else variant or ()),
        threads,
        runs,
        warmup,
        steps,
        sampler,
        guidance,
        seed,
        timeout,
        bool(compare_precisions),
    )
    from fewstep.bench.command import run

    run(config, json_file, html_file)
