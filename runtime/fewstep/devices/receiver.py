"""The far side of a transfer. It is sent as text and run by the board's own Python, so it imports nothing of ours.

Protocol, on standard input and output: a line of JSON comes in, ``[[path, bytes, sha256], ...]``; a line goes out, how many bytes
of each file are here already; the rest of each file comes in, one after another; a line goes out, ``{"wrong": [paths]}``, the files
whose SHA-256 is another (they are removed), or ``{"error": text}``.
"""

import hashlib
import io
import json
import os
import sys
from pathlib import Path

_BLOCK = 1 << 20


def _present(path: Path, size: int) -> int:
    """How many bytes of the file are here; a file that is too long is begun anew."""
    have = path.stat().st_size if path.is_file() else 0
    if have > size:
        path.unlink()
        return 0
    return have


def _append(path: Path, count: int, source: io.BufferedReader) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        while count:
            block = source.read1(min(count, _BLOCK))
            if not block:
                raise EOFError("the connection ended")
            stream.write(block)
            stream.flush()  # what is here must survive a connection that breaks
            count -= len(block)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Receives the files into the folder that is the only argument."""
    source = sys.stdin.buffer
    assert isinstance(source, io.BufferedReader)
    files = [(Path(sys.argv[1], name), size, digest) for name, size, digest in json.loads(source.readline())]
    present = [_present(path, size) for path, size, _ in files]
    _say(present)
    try:
        for (path, size, _), have in zip(files, present, strict=True):
            _append(path, size - have, source)
        wrong = [path for path, _, digest in files if _digest(path) != digest]
    except OSError as error:
        _say({"error": os.strerror(error.errno) if error.errno else str(error)})
        sys.exit(1)
    for path in wrong:
        path.unlink()
    _say({"wrong": [path.relative_to(sys.argv[1]).as_posix() for path in wrong]})


if __name__ == "__main__":
    main()
