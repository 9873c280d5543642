"""benchmarks/results/reliability.json, to which every script of this folder adds its part."""

import fcntl
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from fewstep import atomic
from fewstep.bench.device import this_device
from fewstep.records import to_json

TARGET = Path(__file__).parents[1] / "results" / "reliability.json"
MUST_NOT_BE = ("broken", "unclear", "stuck")
"""Outcomes of a fault."""


Values = Mapping[str, Any]


def record(path: Sequence[str], value: Values) -> None:
    """Puts a value at a place of the file, with the command, the device and the date beside it."""
    merge(path, lambda _old: value)


def merge(path: Sequence[str], made_of: Callable[[Values], Values]) -> None:
    """Puts what the function makes of the old value at a place; runs at the same time wait for each other."""
    folder = os.open(TARGET.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        whole: dict[str, Any] = json.loads(TARGET.read_text()) if TARGET.is_file() else {}
        place = whole
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = {
            **made_of(place.get(path[-1], {})),
            "command": _command(),
            "device": to_json(this_device()),
        }
        atomic.write_bytes(TARGET, (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(folder)


def read(path: Sequence[str]) -> dict[str, Any]:
    """What stands at a place; empty if nothing does."""
    place: Any = json.loads(TARGET.read_text()) if TARGET.is_file() else {}
    for key in path:
        place = place.get(key, {})
    return dict(place)


def add_counts(path: Sequence[str], found: Values) -> None:
    """Adds inputs to those of runs before, and keeps the largest peak of memory and every finding."""
    findings = [found["finding"]] if "finding" in found else []
    merge(path, lambda old: {
        "inputs": old.get("inputs", 0) + found.get("inputs", 0),
        "accepted": old.get("accepted", 0) + found.get("accepted", 0),
        "peak_bytes": max(old.get("peak_bytes", 0), found.get("peak_bytes", 0)),
        "findings": [*old.get("findings", []), *findings],
    })  # fmt: skip


def conclude(part: str, what: str, counts: Counter[str], keep: bool) -> NoReturn:
    """Prints the outcomes of faults, adds them to those of runs before if they are kept, and ends with 1 if there is one that must not be."""
    for name in MUST_NOT_BE:
        counts[name] += 0
    print(what, dict(counts))
    if keep:
        merge([part, what], lambda old: _sum(counts, old))
    sys.exit(any(counts[name] for name in MUST_NOT_BE))


def _sum(counts: Counter[str], old: Values) -> Values:
    """What was counted in this run and those before; zeros stay."""
    names = sorted({*counts, *(name for name, value in old.items() if isinstance(value, int))})
    return {name: counts[name] + old.get(name, 0) for name in names}


def _command() -> str:
    """The command line without where this machine keeps its files."""
    root, words = str(Path(__file__).parents[2]), ["python"]
    for before, word in pairwise(["", *sys.argv]):
        if "--cache" not in (before, word):
            words.append(word.removeprefix(f"{root}/"))
    return " ".join(words)
