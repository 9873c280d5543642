"""`fewstep package`."""

from pathlib import Path
from typing import Annotated, cast

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command()(package)


def package(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.fewstep.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to write; a new one.", show_default=False)
    ],
    app: Annotated[str, typer.Option(help="web.")] = "web",
    variant: Annotated[
        list[str] | None, typer.Option(help="Build to put in, may be repeated; the smallest if not given.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Name of the app; the bundle's if not given.")] = None,
) -> None:
    """Put BUNDLE into a demo app: for the web, a folder that any server of files can serve."""
    from rich.console import Console

    from fewstep_apps.config import App, PackageConfig
    from fewstep_apps.web.package import package_web

    config = PackageConfig(bundle, cast(App, app), output, tuple(variant or ()), title)
    console = Console(stderr=True)
    with console.status("packaging"):
        result = package_web(config)
    first = result.first_load / 1e6
    console.print(
        f"{output}: {', '.join(result.variants)}; a first visit loads {first:.1f} MB\n"
        f"to try it: python -m http.server --directory {output} 8000, then http://localhost:8000",
        highlight=False,
        soft_wrap=True,
    )
