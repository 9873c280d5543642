"""Whether there is room for numpy, before it is loaded: its OpenBLAS ends the process where it finds none, and nobody can catch that."""

import mmap
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

NEEDED = 192 << 20
"""Bytes that numpy with one thread of OpenBLAS takes of the address space, and some more; drawing takes more than this anyway."""


class _BeforeNumpy(MetaPathFinder):
    """Looks for room when numpy is imported for the first time; finds nothing itself."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name == "numpy":
            sys.meta_path.remove(self)
            _require_room()


def watch_address_space() -> None:
    """Has the first import of numpy raise MemoryError where a limit (`ulimit -v`) leaves it too little address space."""
    if _limit() is not None and "numpy" not in sys.modules:
        os.environ.setdefault(
            "OPENBLAS_NUM_THREADS", "1"
        )  # each takes tens of MB; fewstep multiplies no matrices
        sys.meta_path.insert(0, _BeforeNumpy())


def _limit() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _require_room() -> None:
    try:
        mmap.mmap(-1, NEEDED).close()
    except OSError:
        raise MemoryError from None
