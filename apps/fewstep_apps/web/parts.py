"""Large files as gzipped parts, so that a static server need know neither ranges nor compression to send them well."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

PART = 4 << 20
"""Bytes of a part before compression: what a broken download loses at most."""


@dataclass(frozen=True)
class Part:
    """The path of a part in the package, and its bytes as it is sent."""

    path: str
    bytes: int


@dataclass(frozen=True)
class PartedFile:
    """A file with its SHA-256 and size, and its parts in order."""

    sha256: str
    bytes: int
    parts: tuple[Part, ...]


def cut(content: bytes, output: Path) -> PartedFile:
    """Writes the parts of a file into output/parts; the same content gives the same parts.

    They do not end in .gz: some servers would say that such a file is encoded, and the browser would unpack it first.
    """
    digest = hashlib.sha256(content).hexdigest()
    (output / "parts").mkdir(parents=True, exist_ok=True)
    parts = []
    for k, begin in enumerate(range(0, len(content), PART)):
        packed = gzip.compress(content[begin : begin + PART], compresslevel=9, mtime=0)
        path = f"parts/{digest[:16]}-{k}.bin"
        (output / path).write_bytes(packed)
        parts.append(Part(path, len(packed)))
    return PartedFile(digest, len(content), tuple(parts))
