"""The projects that packages are made of; each lies beside its packager."""

import shutil
from pathlib import Path

_BUILT = shutil.ignore_patterns("build", ".gradle", ".build", "__pycache__")


def copied(source: Path, target: Path) -> None:
    """Copies a project without what was built in it; `target` must not exist."""
    shutil.copytree(source, target, ignore=_BUILT)
