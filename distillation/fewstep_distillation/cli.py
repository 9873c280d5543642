"""The commands this room adds: ``fewstep data``, ``fewstep train`` and ``fewstep evaluate``; heavy imports wait until one runs."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the application of ``fewstep``."""
    from fewstep_distillation.data.command import data_app
    from fewstep_distillation.metrics.command import evaluate

    app.add_typer(data_app, name="data")
    app.command()(train)
    app.command()(evaluate)


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe, see distillation/recipes.")],
    resume: Annotated[
        bool, typer.Option(help="Continue from the state in the recipe's output folder.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field: run.steps=100")
    ] = None,
) -> None:
    """Train an autoencoder, a teacher, or a student of one from a recipe (several GPUs: accelerate launch -m fewstep_distillation.train)."""
    from fewstep_distillation.recipe import parse_settings, read_recipe
    from fewstep_distillation.train import train as run
    from fewstep_distillation.train_progress import progress

    parsed = read_recipe(recipe, parse_settings(settings or []))
    with progress(parsed.run) as on_log:
        output = run(parsed, resume, on_log)
    typer.echo(str(output))
