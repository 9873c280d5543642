"""A progress bar on standard error: on a terminal it comes and goes, in a log it leaves nothing."""

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def progress_bar(*columns: ProgressColumn, console: Console | None = None) -> Progress:
    """Rich's `Progress`, with its own columns unless some are given; what is printed on its console stays."""
    console = console or Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
