"""The command `fewstep data build emoji`; heavy imports wait until it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fewstep_distillation.data.emoji import DatasetInfo

data_app = typer.Typer(help="Data sets to train on.", no_args_is_help=True)
build_app = typer.Typer(help="Build a data set from public packages.", no_args_is_help=True)
data_app.add_typer(build_app, name="build")


@build_app.command()
def emoji(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("data/emoji-128"),
    style: Annotated[
        list[str] | None, typer.Option(help="Style to draw, may be repeated; all nine if not given.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of a picture in pixels.")] = 128,
    flags: Annotated[bool, typer.Option("--flags", help="With flags of countries.")] = False,
    skins: Annotated[bool, typer.Option("--skins", help="With skin tones.")] = False,
    glyphs: Annotated[
        int | None, typer.Option(help="So many glyphs alone, over all groups and splits.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that rasterise; one a core if not given.", show_default=False),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for downloads; the user's cache if not given.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another data set.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fetch nine sets of emoji with npm, rasterise them, split and describe them; a stopped build goes on when run again."""
    from fewstep.progress import progress_bar
    from fewstep_distillation.data.emoji import EmojiConfig, build

    given = {"styles": style and tuple(style), "workers": workers, "cache": cache}
    config = EmojiConfig(
        output,
        size=size,
        flags=flags,
        skins=skins,
        glyphs=glyphs,
        overwrite=overwrite,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    with progress_bar() as progress:
        tasks = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        info = build(config, on_progress)
    _report(info, as_json)


def _report(info: "DatasetInfo", as_json: bool) -> None:
    from dataclasses import asdict

    counts = info.counts
    if as_json:
        result = {"folder": str(info.folder), "digest": info.digest, **asdict(counts)}
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(
        f"{info.folder}: {counts.pairs} pictures of {counts.glyphs} glyphs in {counts.families} families"
    )
    typer.echo(f"digest {info.digest}")
    for name, row in {**counts.styles, "all": counts.splits}.items():
        typer.echo(f"{name:12}" + "".join(f"{number:8} {split}" for split, number in row.items()))
