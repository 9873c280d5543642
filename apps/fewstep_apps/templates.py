"""The projects that packages are made of: beside this package in a checkout, inside it in a wheel."""

import shutil
from pathlib import Path

from fewstep.errors import FewstepError

_HERE = Path(__file__).parent
_LEFT_OUT = shutil.ignore_patterns("test", "Tests", "build", ".gradle", ".build", "__pycache__")  # tests read this repository


def template(name: str) -> Path:
    """The folder of a project, like "android".

    Raises:
        FewstepError: it is not there.
    """
    for folder in (_HERE / "templates" / name, _HERE.parent / name):
        if folder.is_dir():
            return folder
    raise FewstepError(
        f"expected the project {name} in {_HERE / 'templates'}, found none; install fewstep again"
    )


def copied(source: Path, target: Path) -> None:
    """Copies a project without its tests and what was built in it; `target` must not exist."""
    shutil.copytree(source, target, ignore=_LEFT_OUT)


def filled(file: Path, **words: str) -> None:
    """Puts words in the places of a text that say __NAME__.

    Raises:
        ValueError: the text has no such place.
    """
    text = file.read_text(encoding="utf-8")
    for name, word in words.items():
        place = f"__{name}__"
        if place not in text:
            raise ValueError(f"{file} has no {place}")
        text = text.replace(place, word)
    file.write_text(text, encoding="utf-8")
