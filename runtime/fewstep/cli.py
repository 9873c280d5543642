"""The `fewstep` command.

Other rooms add commands without the runtime naming them. A room's pyproject entry

    [project.entry-points."fewstep.commands"]
    export = "fewstep_export.cli:register"

names a function `register(app: typer.Typer) -> None` that adds its commands to the application. The module of
that function is imported at every start, `--help` included, so it imports nothing heavy outside its commands.

Results go to standard output (`--json`: machine-readable), everything else to standard error. What a user can cause ends
as one sentence and exit code 2.
"""

import json
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fewstep.bench.cli import register as register_bench
from fewstep.errors import FewstepError

if TYPE_CHECKING:
    from fewstep.bundle import Bundle
    from fewstep.engines.coreml import ComputeUnits
    from fewstep.trust import Trust
    from fewstep.verification import Finding  # heavy: the engines

COMMANDS_GROUP = "fewstep.commands"

BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
]
VariantName = Annotated[
    str | None, typer.Option("--variant", help="Build to use; the bundle's default if not given.")
]
PublicKey = Annotated[
    str | None,
    typer.Option("--public-key", help="Key of minisign (or its file) that must have signed the bundle."),
]
AllowOperator = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-operator", help="Custom operator or function of the graphs to allow, DOMAIN::NAME."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def build_app() -> typer.Typer:
    """The application with the commands of every installed room."""
    app = typer.Typer(
        help="Few-step text-to-image generation on the device.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # plain help starts in half the time
        pretty_exceptions_enable=False,
    )
    app.command()(generate)
    app.command()(info)
    app.command()(verify)
    app.command()(pack)
    app.command()(unpack)
    register_bench(app)
    for entry in sorted(entry_points(group=COMMANDS_GROUP), key=lambda entry: entry.name):
        _register(entry, app)
    return app


def generate(
    bundle: BundlePath,
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT...", show_default=False)] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG file to write.")] = Path("out.png"),
    seed: Annotated[int, typer.Option(help="Noise seed; prompt number k takes seed + k.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Evaluations of the network.", show_default=False)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="A name of docs/samplers.md, like flow-euler.", show_default=False)
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Scale; 1 is off.", show_default=False)] = None,
    negative: Annotated[str | None, typer.Option(help="Negative prompt.", show_default=False)] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT or a side in pixels, for builds of many sizes (TensorRT).", show_default=False
        ),
    ] = None,
    variant: VariantName = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads inside one operator.", show_default=False)
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Guidance by two calls, half the memory.")
    ] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="Add the bundle's examples in its styles.")
    ] = False,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="One contact sheet instead of one file a prompt.")
    ] = False,
    columns: Annotated[int, typer.Option(help="Columns of the sheet.", min=1)] = 8,
    on_nonfinite: Annotated[
        str | None,
        typer.Option(
            help="fp32: draw again with that build where another gives NaN or infinity.", show_default=False
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="openvino: runs .onnx graphs instead of ONNX Runtime.", show_default=False),
    ] = None,
    units: Annotated[
        str, typer.Option(help="Where Core ML runs: ALL, CPU_AND_NE, CPU_AND_GPU or CPU_ONLY.")
    ] = "ALL",
    compiled: Annotated[
        Path | None, typer.Option(help="Folder that keeps Core ML's compiled programs.", show_default=False)
    ] = None,
    public_key: PublicKey = None,
    allow_operator: AllowOperator = None,
    as_json: AsJson = False,
) -> None:
    """Draw each PROMPT and write PNG with alpha; several prompts give OUT-0.png, OUT-1.png, ... or a sheet."""
    from fewstep.generate import Request, draw, save
    from fewstep.pipeline import Pipeline
    from fewstep.sizes import parse_size

    wanted = None if size is None else parse_size(size)
    pipeline = Pipeline(
        _open(bundle, public_key, allow_operator),
        variant,
        threads,
        "sequential" if sequential else "batched",
        cast("ComputeUnits", units),  # checked by the engine
        compiled,
        on_nonfinite=on_nonfinite,
        engine=engine,
    )
    texts = [*(prompts or []), *(pipeline.manifest.prompts.in_styles() if examples else [])]
    table = pipeline.step_table(steps, sampler)
    request = Request(tuple(texts), seed, table, guidance, negative, wanted)
    drawings = draw(pipeline, request)
    files = save(drawings, output, columns if sheet else None)
    if as_json:
        _print_json(
            {
                "bundle": str(bundle),
                "variant": pipeline.variant.name,
                "loop": pipeline.variant.form,
                "step_table": table.name,
                "files": [str(file) for file in files],
                "pictures": [d.to_dict() for d in drawings],
            }
        )
    else:
        typer.echo("\n".join(map(str, files)))


def info(
    bundle: BundlePath,
    sbom: Annotated[
        bool, typer.Option("--sbom", help="Print a bill of materials (CycloneDX 1.6, JSON).")
    ] = False,
    public_key: PublicKey = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a bundle is: variants, sizes, step tables, prompts, licences."""
    from fewstep.info import describe

    opened = _open(bundle, public_key)
    if sbom:
        from fewstep.sbom import bill_of_bundle

        typer.echo(bill_of_bundle(opened.manifest))
    elif as_json:
        _print_json(opened.manifest.to_dict())
    else:
        typer.echo(describe(opened.manifest))


def verify(
    bundle: BundlePath,
    public_key: PublicKey = None,
    allow_operator: AllowOperator = None,
    as_json: AsJson = False,
) -> None:
    """Check every file against its SHA-256, and every build against the FP32 graphs on fixed inputs."""
    from fewstep.records import to_json
    from fewstep.verification import verify_bundle

    opened = _open(bundle, public_key, allow_operator)
    findings = list(verify_bundle(opened))
    wrong = [finding for finding in findings if not finding.ok]
    files, variants = len(opened.manifest.files), [variant.name for variant in opened.manifest.variants]
    if as_json:
        found = {"files": files, "variants": variants, "findings": to_json(findings), "ok": not wrong}
        _print_json({"bundle": str(bundle), **found})
    else:
        _print_findings(findings)
        typer.echo(f"{bundle}: {files} files and the variants {', '.join(variants)} were checked")
    if wrong:
        first = wrong[0]
        raise FewstepError(
            f"expected every build as the manifest says, found {len(wrong)} that are not, the first {first.component} of "
            f"{first.variant} ({first.note}), in {bundle}; export the bundle again"
        )


def pack(
    bundle: BundlePath,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Zip file to write; BUNDLE.zip if not given.")
    ] = None,
) -> None:
    """Put a bundle into one zip file; the same bundle always gives the same bytes."""
    from fewstep import archive

    opened = _open(bundle)
    opened.verify()
    target = output or bundle.with_name(f"{bundle.resolve().name}.zip")
    archive.pack(opened.root, target)
    typer.echo(target)


def unpack(
    file: Annotated[Path, typer.Argument(metavar="ZIP", help="File of `fewstep pack`.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; must not exist.")],
    public_key: PublicKey = None,
) -> None:
    """Check a zip file of a bundle, and write it as a folder, whole or not at all."""
    from fewstep import archive

    archive.unpack_to(file, output, _trust(public_key))
    typer.echo(output)


def _open(bundle: Path, public_key: str | None = None, operators: Sequence[str] | None = None) -> "Bundle":
    from fewstep.bundle import Bundle

    return Bundle.open(bundle, _trust(public_key, operators))


def _trust(public_key: str | None = None, operators: Sequence[str] | None = None) -> "Trust":
    from fewstep.signature import key_text
    from fewstep.trust import Trust

    return Trust(None if public_key is None else key_text(public_key), frozenset(operators or ()))


def _print_findings(findings: "Sequence[Finding]") -> None:
    """One line a component; errors are relative to the largest output."""
    from rich.console import Console
    from rich.table import Table

    table = Table("variant", "component", "error", "bound", "note", "", box=None)
    for f in findings:
        numbers = ("" if value is None else f"{value:.1e}" for value in (f.error, f.bound))
        table.add_row(f.variant, f.component, *numbers, f.note, "ok" if f.ok else "WRONG")
    Console().print(table)


def _register(entry: EntryPoint, app: typer.Typer) -> None:
    """Adds a room's commands; a room that cannot be imported costs its own commands and no others."""
    try:
        entry.load()(app)
    except ImportError as error:
        print(f"fewstep: the commands of '{entry.name}' are not available ({error})", file=sys.stderr)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
