"""What a packaged app is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fewstep.errors import FewstepError

App = Literal["web", "android", "ios", "jetson"]


@dataclass(frozen=True)
class PackageConfig:
    """An app around a bundle.

    Args:
        bundle: its folder.
        app: which app.
        output: the folder to write; it must not exist, or be empty.
        variants: the builds to put in, of which the first is loaded first; none leaves it to the app, which takes the smallest it can run.
        title: what the app is called; None takes the bundle's name.

    Raises:
        FewstepError: there is no such app, a variant is given twice, or the output is in use.
    """

    bundle: Path
    app: App
    output: Path
    variants: tuple[str, ...] = ()
    title: str | None = None

    def __post_init__(self) -> None:
        if self.app not in get_args(App):
            raise FewstepError(
                f"expected the app {' or '.join(get_args(App))}, found '{self.app}'; choose one of them"
            )
        if len(set(self.variants)) != len(self.variants):
            raise FewstepError(
                f"expected different variants, found {', '.join(self.variants)}; give each of them once"
            )
        if self.output.is_file() or (self.output.is_dir() and any(self.output.iterdir())):
            raise FewstepError(
                f"expected a new or an empty folder, found something, at {self.output}; remove it or choose another"
            )
