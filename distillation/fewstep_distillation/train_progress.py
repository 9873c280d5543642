"""A progress bar for training, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fewstep_distillation.run_config import RunConfig


@contextmanager
def progress(config: RunConfig) -> Iterator[Callable[[dict[str, float]], None]]:
    """Yield a callback for log records that moves the bar along the used part of the budget."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=1.0)

        def on_log(record: dict[str, float]) -> None:
            done = max(record["step"] / config.steps, record["seconds"] / config.seconds)
            bar.update(
                task,
                completed=min(1.0, done),
                description=f"step {record['step']:.0f} loss {record['loss']:.4f}",
            )

        yield on_log
