"""`fewstep quantize`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from fewstep_quantization.calibration.observers import Observer
    from fewstep_quantization.config import QuantizeConfig, Scheme


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command()(quantize)


def quantize(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
    ],
    scheme: Annotated[
        str,
        typer.Option(
            help="int8 (calibrated), int8-dynamic, w8 or w4 (weights only), fp16 (FP32 where it would overflow)."
        ),
    ] = "int8",
    variant: Annotated[str, typer.Option(help="FP32 variant to begin from.")] = "fp32",
    name: Annotated[
        str | None, typer.Option(help="Name of the new variant; the scheme's if not given.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Calibration prompts, one a line; the bundle's examples if not given.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="Pictures drawn for calibration.")] = 32,
    steps: Annotated[int | None, typer.Option(help="Evaluations of the network.", show_default=False)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="A name of docs/samplers.md, like flow-euler.", show_default=False)
    ] = None,
    observer: Annotated[str, typer.Option(help="min-max, percentile, mse or entropy.")] = "min-max",
    migration: Annotated[float, typer.Option(help="SmoothQuant's exponent, usually 0.5; 0 is off.")] = 0.0,
    max_noise: Annotated[
        float,
        typer.Option(
            help="Rounding of a layer's input from which on it gets two planes of 8 bits; 1 is off."
        ),
    ] = 0.03,
    weight_noise: Annotated[
        float,
        typer.Option(
            help="Rounding of int8 weights as a part of their size, like 0.03: coarser ones make a smaller download."
        ),
    ] = 0.0,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Layer that stays float, may be repeated.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            help="Error of the denoiser's output; the worst layers stay float until it is kept.",
            show_default=False,
        ),
    ] = None,
    max_time: Annotated[
        float | None,
        typer.Option(
            help="Milliseconds of one evaluation; as many layers stay float as fit.", show_default=False
        ),
    ] = None,
    min_speedup: Annotated[float, typer.Option(help="Speed-up over VARIANT that a build must reach.")] = 1.0,
    min_psnr: Annotated[
        float | None,
        typer.Option(
            help="Mean PSNR (dB) on the same noise that pictures must reach; int8 gets as many layers in two planes as that takes.",
            show_default=False,
        ),
    ] = None,
    max_size: Annotated[
        float | None, typer.Option(help="Size over that of VARIANT that it may have.", show_default=False)
    ] = None,
    judge: Annotated[
        int, typer.Option(help="Pictures drawn for Frechet distance and text-image score; 0 is off.")
    ] = 0,
    max_frechet: Annotated[
        float | None,
        typer.Option(help="By what part the Frechet distance may be larger.", show_default=False),
    ] = None,
    max_text_loss: Annotated[
        float | None,
        typer.Option(help="By what part the text-image score may be smaller.", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write a build that misses the limits, and mark it.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads inside one operator.")] = None,
    rounds: Annotated[int, typer.Option(help="Timed rounds.")] = 7,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every kind of node: integer or float, its time, why.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Add a build of lower precision to BUNDLE if it is measured to be worth it."""
    from fewstep_quantization.config import Limits, QuantizeConfig
    from fewstep_quantization.search import Budget

    config = QuantizeConfig(
        bundle,
        cast("Scheme", scheme),  # checked by QuantizeConfig, as the observer
        variant,
        name,
        prompts,
        pictures,
        steps,
        sampler,
        cast("Observer", observer),
        migration,
        max_noise,
        weight_noise,
        tuple(exclude or ()),
        Budget(max_error, max_time),
        Limits(min_speedup, min_psnr, max_size, max_frechet, max_text_loss),
        force,
        threads,
        rounds,
        judge,
    )
    _run(config, explain, as_json)


def _run(config: "QuantizeConfig", explain: bool, as_json: bool) -> None:
    from rich.console import Console

    from fewstep.progress import progress_bar
    from fewstep.records import to_json
    from fewstep_quantization.command import quantize as run
    from fewstep_quantization.explain import explain_table, explain_variant
    from fewstep_quantization.gate import GateError, table
    from fewstep_quantization.search import points_table

    console = Console(stderr=True)
    title = f"{config.output} against {config.variant}"
    try:
        with progress_bar(console=console) as progress:
            bar = progress.add_task("reading", total=1)
            gate, checks, built = run(
                config,
                lambda what, done, total: progress.update(bar, description=what, completed=done, total=total),
            )
    except GateError as error:
        console.print(table(error.checks, title))
        raise
    if built.wide:
        console.print(f"layers in two planes of 8 bits: {len(built.wide)}")
    if built.points:
        console.print(points_table(built.points, built.chosen))
    console.print(table(list(checks), title))
    if explain:
        for component, layers in explain_variant(
            config.bundle, config.output, built.float_layers, config.threads
        ):
            console.print(explain_table(component, layers))
    if as_json:
        typer.echo(
            json.dumps(
                to_json(gate) | {"points": to_json(list(built.points)), "wide": sorted(built.wide)}, indent=2
            )
        )
