"""The command `fewstep join`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def join(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=BUNDLE...", help="Bundles, and what their functions are called.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="New folder.", show_default=False)],
    variant: Annotated[str, typer.Option(help="Build whose packages are joined.")] = "coreml-fp16",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Join the Core ML packages of bundles: one package a component, with a function for each bundle and equal weights once."""
    from fewstep.errors import FewstepError
    from fewstep_export.joining.join import join_bundles

    named: dict[str, Path] = {}
    for text in bundles:
        name, equals, path = text.partition("=")
        if not (equals and name.isidentifier() and path) or name in named:
            raise FewstepError(
                f"expected NAME=BUNDLE, each name once and of letters and digits, found '{text}'; write student=path"
            )
        named[name] = Path(path)
    made = join_bundles(named, variant, output)
    if as_json:
        rows = {
            one.path.stem: {"functions": one.functions, "bytes": one.bytes, "source_bytes": one.source_bytes}
            for one in made
        }
        typer.echo(json.dumps({"folder": str(output), "packages": rows}, indent=2))
    else:
        for one in made:
            typer.echo(
                f"{one.path}: {', '.join(one.functions)}; {one.bytes / 1e6:.1f} MB, apart {one.source_bytes / 1e6:.1f} MB"
            )
