"""The command `fewstep bench`."""

from pathlib import Path
from typing import Annotated

import typer

from fewstep.errors import FewstepError


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command()(bench)


def bench(
    bundle: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE",
            help="Folder NAME.fewstep; with --compare or --report, files of --json.",
            show_default=False,
        ),
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
    engine: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime, openvino, or all that are installed; tensorrt: engines built there; the variants' own if not given.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="ssh://USER@HOST[:PORT]",
            help="Measure on this board; web or web-https: on phones that open a page.",
            show_default=False,
        ),
    ] = None,
    ssh_config: Annotated[
        Path | None, typer.Option(help="Configuration for ssh instead of your own.", show_default=False)
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare reports, A.json B.json ..., with the first.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write one page (--html) of reports, A.json B.json ....")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that a first picture may take.")] = 600.0,
    require_quiet: Annotated[
        bool, typer.Option("--require-quiet", help="Refuse figures of a noisy, hot or slowed machine.")
    ] = False,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write all figures as JSON; - is standard output."),
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts and pictures.")
    ] = None,
) -> None:
    """Measure latency, memory, size and host share of the variants of BUNDLE on this device or a board."""
    if compare:
        from fewstep.bench.compare import run as run_compare

        run_compare(bundle, json_file, html_file)
        return
    if report:
        from fewstep.bench.overview import run as run_report

        run_report(bundle, html_file)
        return
    from fewstep.bench.config import BenchConfig
    from fewstep.bench.elsewhere import elsewhere
    from fewstep.devices.address import Address
    from fewstep.devices.ssh import Remote

    config = BenchConfig(
        _only(bundle),
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
        engine,
        require_quiet,
    )
    if measure := elsewhere(device):
        measure(config, json_file, html_file)
        return
    from fewstep.bench.command import run

    run(config, json_file, html_file, Remote(Address.parse(device), ssh_config) if device else None)


def _only(bundles: list[Path]) -> Path:
    """The one bundle that may be given.

    Raises:
        FewstepError: there are more.
    """
    if len(bundles) != 1:
        raise FewstepError(f"expected one bundle, found {len(bundles)}; reports are compared with --compare")
    return bundles[0]
