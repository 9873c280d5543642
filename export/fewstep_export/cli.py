"""`fewstep export`."""

import json
import os
from pathlib import Path
from typing import Annotated, cast

import typer

from fewstep_export.device_check.cli import check
from fewstep_export.joining.cli import join
from fewstep_export.loop_forms.cli import loop


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.command()(export)
    app.command()(check)
    app.command()(join)
    app.command()(loop)


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Zoo name, or folder of fewstep or of diffusers.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Bundle to write; NAME.fewstep if not given.")
    ] = None,
    target: Annotated[list[str], typer.Option(help="Engine to build for: ort, coreml, tensorrt.")] = ["ort"],  # noqa: B006 - typer copies it
    precision: Annotated[
        list[str],
        typer.Option(
            help="fp32 or fp16; int8 for coreml and tensorrt; fp8 for tensorrt; for coreml also w8, w4, palette6, palette4, palette-mixed."
        ),
    ] = ["fp32", "fp16"],  # noqa: B006
    min_target: Annotated[
        str, typer.Option(help="Oldest system for a Core ML package: iOS17 or iOS18.")
    ] = "iOS17",
    half_io: Annotated[
        bool, typer.Option("--half-io", help="Core ML packages with float16 inputs and outputs.")
    ] = False,
    neural_engine: Annotated[
        bool,
        typer.Option("--neural-engine", help="Core ML packages in the layout that the Neural Engine likes."),
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Evaluations of the network.", show_default=False)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="A name of docs/samplers.md, like flow-euler.", show_default=False)
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Scale; 1 is off.", show_default=False)] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures in pixels.", show_default=False)
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            help="Keep so many pieces of words, most frequent first, and those the model was taught.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with pictures of the checkpoint's own pipeline.")
    ] = False,
    configurations: Annotated[
        Path | None,
        typer.Option("--config", help="Folder with the configurations of a single file.", show_default=False),
    ] = None,
    lora: Annotated[
        list[str] | None, typer.Option(help="LoRA to fuse: FILE or FILE:SCALE.", show_default=False)
    ] = None,
    hoist: Annotated[
        bool, typer.Option("--hoist", help="Add builds that compute once a prompt what depends on it alone.")
    ] = False,
    fuse_step: Annotated[
        bool, typer.Option("--fuse-step", help="Add builds with a whole step of the sampler in one graph.")
    ] = False,
    unroll: Annotated[
        int | None,
        typer.Option(help="Add builds with so many steps and the decoder in one graph.", show_default=False),
    ] = None,
    large_from: Annotated[
        float, typer.Option(help="GB of FP32 weights from which components are exported one at a time.")
    ] = 1.0,
    force_memory: Annotated[
        bool,
        typer.Option("--force-memory", help="Begin although the forecast exceeds this machine's memory."),
    ] = False,
    max_batch: Annotated[int, typer.Option(help="Largest batch of a TensorRT engine.")] = 2,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Sizes of pictures for TensorRT engines in pixels: SMALLEST:BEST:LARGEST, each a side or WIDTHxHEIGHT, or one "
            "size; may be repeated.",
            show_default=False,
        ),
    ] = None,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(
            help="GPU to build a TensorRT-RTX engine for, like 8.6; may be repeated.", show_default=False
        ),
    ] = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="TensorRT engines that later releases load too.")
    ] = False,
    strip_weights: Annotated[
        bool, typer.Option("--strip-weights", help="TensorRT engines without weights.")
    ] = False,
    workspace: Annotated[
        int | None, typer.Option(help="Bytes of scratch memory for TensorRT.", show_default=False)
    ] = None,
    graphs_only: Annotated[
        bool,
        typer.Option(
            "--graphs-only",
            help="Graphs for TensorRT on a board that builds its own engines, and no engines.",
        ),
    ] = False,
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            help="File where TensorRT keeps what it measured, for the next build.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Turn a checkpoint into a bundle; every graph is compared with torch before it is written."""
    from rich.progress import Progress, TimeElapsedColumn

    from fewstep.progress import progress_bar
    from fewstep.sizes import SizeProfile
    from fewstep.tensorrt.config import BuildConfig
    from fewstep_export.config import ExportConfig, Lora, Precision, Target
    from fewstep_export.large.config import Large
    from fewstep_export.loop_forms.config import LoopForms
    from fewstep_export.package_config import ConvertConfig, MinimumTarget

    config = ExportConfig(
        source,
        output or Path(f"{Path(source).resolve().name}.fewstep"),
        cast("tuple[Target, ...]", tuple(target)),  # checked by ExportConfig
        cast("tuple[Precision, ...]", tuple(precision)),
        steps,
        sampler,
        guidance,
        size,
        compare,
        configurations,
        tuple(Lora.parse(text) for text in lora or ()),
        LoopForms(hoist, fuse_step, unroll),
        Large(large_from, force_memory),
        vocabulary=vocabulary,
        packages=ConvertConfig(
            cast("MinimumTarget", min_target), half_io=half_io, neural_engine=neural_engine
        ),
        engines=BuildConfig(
            max_batch,
            tuple(compute_capability or ()),
            version_compatible,
            strip_weights,
            workspace,
            graphs_only,
            timing_cache,
            tuple(SizeProfile.parse(text) for text in profile or ()),
        ),
    )
    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("starting", total=1)
        progress.refresh()
        # Threads of torch that wait by spinning make it 20 times slower on a busy machine (2 cores, 8.0 s instead of
        # 0.3 s an evaluation); the variable is read once, when torch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from fewstep_export.exporter import export as run  # takes seconds: it imports torch

        path = run(
            config,
            lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
            lambda line: progress.console.print(line, soft_wrap=True, highlight=False, markup=False),
        )
    _report(path, as_json)


def _report(path: Path, as_json: bool) -> None:
    from fewstep.bundle import Bundle
    from fewstep.info import describe
    from fewstep.records import to_json

    manifest = Bundle.open(path).manifest
    if as_json:
        verification = {variant.name: to_json(variant.verification) for variant in manifest.variants}
        typer.echo(json.dumps({"bundle": str(path), "verification": verification}, indent=2))
    else:
        typer.echo(f"{path}\n{describe(manifest)}")
