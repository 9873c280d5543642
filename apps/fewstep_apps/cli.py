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
    app: Annotated[str, typer.Option(help="web, android, ios or jetson.")] = "web",
    variant: Annotated[
        list[str] | None, typer.Option(help="Build to put in, may be repeated; the smallest if not given.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Name of the app; the bundle's if not given.")] = None,
    sbom: Annotated[
        Path | None,
        typer.Option("--sbom", metavar="FILE", help="Write a bill of materials (CycloneDX 1.6, JSON)."),
    ] = None,
) -> None:
    """Put BUNDLE into a demo app: a website, an APK and a Gradle project, an Xcode project, or a kit for a Jetson."""
    from rich.console import Console

    from fewstep_apps.config import App, PackageConfig
    from fewstep_apps.packagers import packager

    config = PackageConfig(bundle, cast(App, app), output, tuple(variant or ()), title)
    console = Console(stderr=True)
    with console.status("packaging"):
        told = packager(config.app)(config)
    if sbom is not None:
        from fewstep import atomic
        from fewstep_apps.sbom import bill_of_package

        atomic.write_bytes(sbom, bill_of_package(config).encode())
    console.print(told, highlight=False, markup=False, soft_wrap=True)
