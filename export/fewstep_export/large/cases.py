"""Cases of a component on disk: what one process computes and another compares with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewstep_export.components import Array, Feeds
from fewstep_export.fixed_inputs import Case

PAIRS_UP_TO = 1_000_000_000
"""Bytes of weights from which a graph is evaluated one picture at a time: a pair's scores of attention would be most of the peak. That the
batch is free is then known from torch.export, which refuses a module that fixes it."""
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


def graph_cases(folder: Path, graph: Path) -> list[Case]:
    """The cases on which a graph is evaluated: as stored, or one a picture if the weights beside the graph are large."""
    cases = load_cases(folder)
    weights = sum(file.stat().st_size for file in graph.parent.glob(f"{graph.name}*"))
    return cases if weights <= PAIRS_UP_TO else [row for case in cases for row in rows_of(case)]


def first_row(feeds: Feeds) -> Feeds:
    """The inputs of the first picture of a batch."""
    return {name: array[:1] for name, array in feeds.items()}


def rows_of(case: Case) -> list[Case]:
    """A case a picture."""
    batch = len(next(iter(case.feeds.values())))
    groups = [getattr(case, group) for group in _GROUPS]
    return [
        Case(*({name: array[i : i + 1] for name, array in group.items()} for group in groups))
        for i in range(batch)
    ]


def _load(path: Path) -> Case:
    groups: dict[str, dict[str, Array]] = {group: {} for group in _GROUPS}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            group, _, name = key.partition(".")
            groups[group][name] = stored[key]
    return Case(**groups)
