"""The command `fewstep check`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def check(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
    ],
    device: Annotated[str, typer.Option(help="Board, like orin-nano-8gb.", show_default=False)],
    variant: Annotated[
        str | None, typer.Option(help="Build of ONNX graphs; the FP16 one if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Tell whether a bundle will build and fit on a board, from its graphs alone."""
    from fewstep.bundle import Bundle
    from fewstep.devices.boards import board_named
    from fewstep.errors import FewstepError
    from fewstep.records import to_json
    from fewstep_export.device_check.check import check as judge

    findings = judge(Bundle.open(bundle), board_named(device), variant)
    serious = [finding for finding in findings if finding.serious]
    if as_json:
        typer.echo(json.dumps({"device": device, "findings": to_json(findings), "ok": not serious}, indent=2))
    else:
        for f in findings:
            typer.echo(f"{'NO ' if f.serious else 'ok '} {f.component or 'memory'}: {f.what}")
    if serious:
        first = serious[0]
        raise FewstepError(
            f"expected a bundle that runs on {device}, found {len(serious)} reasons against it, the first: {first.what}; "
            "choose a smaller model or another board"
        )
