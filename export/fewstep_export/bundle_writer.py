"""The parts of a bundle that are made from its files."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME, FileRecord, Licence, Manifest, Provenance


def reusable(output: Path, provenance: Provenance) -> bool:
    """Whether a whole bundle of exactly this provenance (checkpoint, versions, options) is there already."""
    try:
        bundle = Bundle.open(output)
        bundle.verify()
    except (FewstepError, OSError):
        return False
    return bundle.manifest.provenance == provenance


def file_records(root: Path) -> Mapping[str, FileRecord]:
    """Size and SHA-256 of every file of the folder but the manifest, by relative path in order."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path != root / MANIFEST_NAME)
    return {path.relative_to(root).as_posix(): _record(path) for path in files}


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Writes `manifest.json`."""
    (root / MANIFEST_NAME).write_text(manifest.to_text(), encoding="utf-8")


def licences_text(name: str, licences: Sequence[Licence]) -> str:
    """The content of `LICENCES.md`."""
    rows = [f"| {entry.what} | {entry.licence} | {entry.credit} |" for entry in licences]
    return "\n".join([f"# Licences of {name}", "", "| what | licence | credit |", "|---|---|---|", *rows, ""])


def _record(path: Path) -> FileRecord:
    with path.open("rb") as stream:
        return FileRecord(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)
