"""A Swift compiler for Linux, where tools/swift.sh can bring one; and the sources of the app."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "apps" / "fewstep_apps" / "ios" / "project"
SOURCES = sorted((PROJECT / "Fewstep" / "Sources" / "Fewstep").glob("*.swift"))
SCREENS = sorted((PROJECT / "App").glob("*.swift"))
OPTIONS = ["-swift-version", "5", "-warnings-as-errors"]


def toolchain() -> Path | None:
    """The folder of the compiler, which is brought if it is not there; None where Debian or root is missing."""
    folder = Path(os.environ.get("FEWSTEP_SWIFT", "~/.cache/fewstep-swift")).expanduser()
    if not (folder / "complete").is_file() and (os.getuid() != 0 or not shutil.which("apt-get")):
        return None
    subprocess.run([str(ROOT / "tools" / "swift.sh"), str(folder)], check=True)
    return folder


def inside(tools: Path, work: Path, *words: str) -> list[str]:
    """A command of the compiler's own Debian, which sees the folder `work` as /checks."""
    return [str(tools / "inside"), str(work), *words]


def laid(files: list[Path], folder: Path) -> list[str]:
    """Copies files into a new folder inside /checks; their paths there."""
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)
    return [f"/checks/{folder.name}/{file.name}" for file in files]
