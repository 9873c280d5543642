"""One target of `fuzz.py` under atheris: python fuzz_guided.py TARGET CORPUS [options of libFuzzer]."""

import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["fewstep", "zipfile", "json"]):
    from fuzz_mutate import mutated
    from fuzz_targets import TARGETS, Fence, refused

name = sys.argv.pop(1)
folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "x"
fence = Fence(folder.parent)


def one_input(data: bytes) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    fence.up = True
    try:
        refused(lambda: TARGETS[name](data, folder))
    finally:
        fence.up = False


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """A mutation of libFuzzer's own mutation, or one that knows JSON."""
    random = Random(seed)
    changed = mutated(data, random) if random.random() < 0.5 else atheris.Mutate(data, longest)
    return bytes(changed[:longest])


atheris.Setup([sys.argv[0], *sys.argv[1:]], one_input, custom_mutator=mutate)
atheris.Fuzz()
