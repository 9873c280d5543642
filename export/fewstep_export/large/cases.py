"""Cases of a component on disk: what one process computes and another compares with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewstep_export.components import Array
from fewstep_export.fixed_inputs import Case

_GROUPS = ("feeds", "expected", "where")


def save_cases(folder: Path, cases: Sequence[Case]) -> None:
    """Writes case-K.npz for every case."""
    for k, case in enumerate(cases):
        arrays = {
            f"{group}.{name}": array for group in _GROUPS for name, array in getattr(case, group).items()
        }
        np.savez(folder / f"case-{k}.npz", **arrays)


def load_cases(folder: Path) -> list[Case]:
    """The cases that `save_cases` wrote."""
    return [_load(folder / f"case-{k}.npz") for k in range(len(list(folder.glob("case-*.npz"))))]


def _load(path: Path) -> Case:
    groups: dict[str, dict[str, Array]] = {group: {} for group in _GROUPS}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            group, _, name = key.partition(".")
            groups[group][name] = stored[key]
    return Case(**groups)
