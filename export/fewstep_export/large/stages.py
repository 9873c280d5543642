"""Finished stages of a long export, kept until the bundle is there: a run that was killed goes on where it stopped.

A stage is a folder that holds what one step of the export made. It is reused only if everything it was made from is the same:
the options, the versions, and the contents of all inputs.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fewstep_export.bundle_writer import file_records

DONE = "stage.json"


@dataclass(frozen=True)
class Stages:
    """The stages of one export, in a folder beside the bundle that is to be."""

    root: Path

    @classmethod
    def of(cls, bundle: Path) -> "Stages":
        """The stages of the bundle at a path."""
        return cls(bundle.parent / f".{bundle.name}.stages")

    def run(self, name: str, facts: Mapping[str, object], work: Callable[[Path], None]) -> tuple[Path, bool]:
        """The folder of a stage and whether it was there already.

        Args:
            name: of the stage.
            facts: all that its result depends on, as JSON: options, versions, sha256 of its inputs.
            work: fills the folder; called only if no finished stage of the same facts is there.
        """
        key = digest(facts)
        folder = self.root / f"{name}-{key[:16]}"
        if _finished(folder, key):
            return folder, True
        shutil.rmtree(folder, ignore_errors=True)  # half-written: whoever wrote it was killed
        folder.mkdir(parents=True)
        work(folder)
        files = {path: record.sha256 for path, record in file_records(folder).items()}
        partial = folder / f"{DONE}.partial"
        partial.write_text(json.dumps({"key": key, "files": files}), encoding="utf-8")
        partial.replace(folder / DONE)
        return folder, False

    def clear(self) -> None:
        """Removes all stages, after the bundle is written."""
        shutil.rmtree(self.root, ignore_errors=True)


def digest(facts: Mapping[str, object]) -> str:
    """sha256 of facts, the same for the same facts in any order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _finished(folder: Path, key: str) -> bool:
    """Whether the stage was finished and none of its files has changed since."""
    try:
        done = json.loads((folder / DONE).read_text(encoding="utf-8"))
        return bool(done["key"] == key) and all(
            hash_file(folder / name) == value for name, value in done["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False
