"""The command `fewstep loop`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def loop(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
    ],
    variant: Annotated[
        str | None, typer.Option(help="Build of .onnx graphs, like int8; the default one if not given.")
    ] = None,
    hoist: Annotated[
        bool, typer.Option("--hoist", help="Compute once a prompt what depends on it alone.")
    ] = False,
    fuse_step: Annotated[
        bool, typer.Option("--fuse-step", help="A whole step of the sampler in one graph.")
    ] = False,
    unroll: Annotated[
        int | None, typer.Option(help="So many steps and the decoder in one graph.", show_default=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write a form that is no faster than FP32, and mark it.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads inside one operator.")] = None,
    rounds: Annotated[int, typer.Option(help="Timed rounds.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Add builds to BUNDLE with more of the sampler's loop inside their graphs, made of a build that it has."""
    from fewstep.progress import progress_bar
    from fewstep.records import to_json
    from fewstep_export.loop_forms.command import add_to_bundle
    from fewstep_export.loop_forms.config import LoopConfig, LoopForms

    config = LoopConfig(bundle, LoopForms(hoist, fuse_step, unroll), variant, force, threads, rounds)
    with progress_bar() as progress:
        bar = progress.add_task("reading", total=1)
        made = add_to_bundle(
            config,
            lambda what, done, total: progress.update(bar, description=what, completed=done, total=total),
        )
    if as_json:
        rows = {v.name: {"verification": to_json(v.verification), "gates": to_json(v.gates)} for v in made}
        typer.echo(json.dumps({"bundle": str(bundle), "variants": rows}, indent=2))
    else:
        for v in made:
            speeds = [f", {gate.speedup:.2f}x {name}" for name, gate in v.gates.items()]
            psnr = v.verification["pictures_host"].psnr
            typer.echo(
                f"{v.name}: loop {v.form}, pictures within {psnr:.0f} dB of the host's{''.join(speeds)}"
            )
