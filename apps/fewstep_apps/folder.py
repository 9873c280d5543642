"""Folders that are there whole or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """Yields a path to make a folder at, which becomes `output` if the block ends well; `output` may be there, but empty.

    Raises:
        OSError: the folder cannot be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        folder = Path(temporary) / "package"
        yield folder
        folder.chmod(0o755)
        if output.is_dir():
            output.rmdir()  # empty: the configuration saw to it
        folder.rename(output)
