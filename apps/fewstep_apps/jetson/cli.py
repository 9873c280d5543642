"""The command `fewstep-jetson`: build, draw, bench, serve, unit."""

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.errors import FewstepError

if TYPE_CHECKING:
    from fewstep.tensorrt.config import BuildConfig

BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
]
MaxBatch = Annotated[int, typer.Option(help="Largest batch of the engines; 2 for guidance in one call.")]
CachePath = Annotated[
    Path | None, typer.Option("--cache", help="Folder of engines; ~/.cache/fewstep/engines if not given.")
]
VariantName = Annotated[
    str | None, typer.Option("--variant", help="Graphs to build from; the FP16 ones if not given.")
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        help="Sizes of pictures, SMALLEST:BEST:LARGEST or one; those of the graphs if not given; may be repeated.",
    ),
]
WithoutGpu = Annotated[bool, typer.Option("--without-gpu", help="Build although no GPU is here.")]
Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for the whole network.")]
Port = Annotated[int, typer.Option(help="Port to listen on.")]


def main() -> None:
    """Runs the command line; user errors become one sentence on standard error and exit code 2."""
    try:
        build_app()(prog_name="fewstep-jetson")
    except FewstepError as error:
        print(f"fewstep-jetson: {error}", file=sys.stderr)
        sys.exit(2)


def build_app() -> typer.Typer:
    """The application."""
    app = typer.Typer(
        help="A fewstep bundle on a Jetson.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for command in (build, draw, bench, serve, unit):
        app.command()(command)
    return app


def build(
    bundle: BundlePath,
    max_batch: MaxBatch = 2,
    cache: CachePath = None,
    without_gpu: WithoutGpu = False,
    variant: VariantName = None,
    profile: Profiles = None,
) -> None:
    """Build the engines of BUNDLE for this board, once; print the folder of the bundle that has them."""
    from fewstep.sizes import SizeProfile
    from fewstep.tensorrt.config import BuildConfig

    config = BuildConfig(max_batch, profiles=tuple(map(SizeProfile.parse, profile or ())))
    typer.echo(_prepared(bundle, cache, variant, config, without_gpu))


def draw(
    bundle: BundlePath,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG file to write.")] = Path("out.png"),
    seed: Annotated[int, typer.Option(help="Noise seed.")] = 0,
    cache: CachePath = None,
    variant: VariantName = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT or a side in pixels.", show_default=False)
    ] = None,
) -> None:
    """Draw PROMPT with the engines, which are built first if they are not there."""
    from fewstep import atomic
    from fewstep.image import png_bytes
    from fewstep.pipeline import Pipeline
    from fewstep.sizes import parse_size
    from fewstep.tensorrt.derive import CACHE

    wanted = None if size is None else parse_size(size)
    pipeline = Pipeline(_prepared(bundle, cache, variant), cache=cache or CACHE)
    atomic.write_bytes(output, png_bytes(pipeline.generate(prompt, seed, size=wanted)))
    typer.echo(output)


def bench(
    bundle: BundlePath,
    runs: Annotated[int, typer.Option(help="Timed rounds.")] = 10,
    cache: CachePath = None,
    variant: VariantName = None,
) -> None:
    """Measure the engines; the report as JSON on standard output tells power mode, clocks and draw too."""
    from fewstep.bench.config import BenchConfig
    from fewstep.bench.runner import bench as measure

    report = measure(BenchConfig(_prepared(bundle, cache, variant), runs=runs)).report
    typer.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))


def serve(
    bundle: BundlePath,
    host: Host = "127.0.0.1",
    port: Port = 7860,
    cache: CachePath = None,
    variant: VariantName = None,
) -> None:
    """Serve a page that draws."""
    from fewstep.pipeline import Pipeline
    from fewstep.tensorrt.derive import CACHE
    from fewstep_apps.jetson.page import build_page

    page = build_page(Pipeline(_prepared(bundle, cache, variant), cache=cache or CACHE))
    page.queue(max_size=8).launch(server_name=host, server_port=port, share=False)


def unit(
    bundle: BundlePath,
    user: Annotated[str | None, typer.Option(help="Who runs the service; you if not given.")] = None,
    host: Host = "127.0.0.1",
    port: Port = 7860,
    cache: CachePath = None,
    variant: VariantName = None,
) -> None:
    """Print a systemd unit that serves the page; build the engines once before you start it."""
    from fewstep.tensorrt.derive import CACHE
    from fewstep_apps.jetson.unit import Served, systemd_unit

    served = Served(bundle, cache or CACHE, host, port, variant)
    typer.echo(systemd_unit(served, user or getpass.getuser()), nl=False)


def _prepared(
    bundle: Path,
    cache: Path | None,
    variant: str | None,
    config: "BuildConfig | None" = None,
    without_gpu: bool = False,
) -> Path:
    from fewstep.tensorrt.config import BuildConfig
    from fewstep.tensorrt.derive import CACHE
    from fewstep_apps.jetson.engines import prepare

    return prepare(bundle, config or BuildConfig(), cache or CACHE, without_gpu, variant)
