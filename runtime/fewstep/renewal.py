"""A bundle that is there already, written anew: whole, or not at all.

The new bundle is made beside the old one, with links to the files that stay, and takes its place in one step. A reader sees the old
bundle or the new one, and a run that is killed leaves the old one as it was.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fewstep import atomic
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME
from fewstep.staged import staged_folder


class _NotTakenError(Exception):
    """Nobody wrote a manifest."""


@contextmanager
def renewed(bundle: Bundle) -> Iterator[Path]:
    """A folder with the files of the bundle, which takes the bundle's place when the block ends if it has a manifest then, else goes away.

    The files are other names of the old ones: write new ones, or remove them first. A signature of the old bundle does not come along.

    Raises:
        FewstepError: another process is writing the bundle, or has written it since it was opened, or a file of it is broken.
        OSError: the files cannot be written.
    """
    place = bundle.root.resolve()
    with atomic.sole_writer(place), suppress(_NotTakenError), staged_folder(place) as root:
        if Bundle.open(place).manifest != bundle.manifest:
            raise FewstepError(
                f"expected the bundle as it was when it was opened, found another, at {bundle.root}; begin again"
            )
        shutil.copymode(place, root)
        for name in bundle.manifest.files:
            _link(bundle.file(name), root / name)
        yield root
        if not (root / MANIFEST_NAME).exists():
            raise _NotTakenError


def _link(file: Path, new: Path) -> None:
    """A second name of a file, or a copy where the disk knows no such names."""
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.resolve(), new)
    except OSError:
        shutil.copy2(file, new)
