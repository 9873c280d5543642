"""How many bits each weight's palette gets under a budget, by the error that each causes at the outputs.

Every group of weights is stored in few bits alone and the error at the outputs measured. The bits are then spent by greedy choice: the
step down whose error grows least for each bit saved goes first. Errors of groups are taken to add, and steps of the sampler not to
amplify them: what the pictures are worth has to be measured on pictures.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fewstep.network import Feeds
from fewstep_export.components import Array
from fewstep_export.coreml.compress import Bits, palettize, weight_sizes
from fewstep_export.coreml.evaluate import Evaluator

CHOICES = (4, 6, 8)
BUDGET = 4.5
"""Bits a weight on average."""
GROUPS = 12
"""Weights are measured in so many runs of about the same number of values: a run takes seconds."""

Outputs = Sequence[Mapping[str, Array]]
Errors = Mapping[tuple[int, int], float]
"""Squared relative error at the outputs by (group, bits)."""


def choose_bits(half: Path, cases: Sequence[Feeds], budget: float = BUDGET) -> Bits:
    """Bits by weight, at most `budget` on average.

    Args:
        half: the FP16 package.
        cases: inputs; the first and the last are evaluated.
        budget: in bits, at least the smallest choice.
    """
    sizes = weight_sizes(half)
    groups = split(sizes, GROUPS)
    errors = _measure(half, groups, (cases[0], cases[-1]))
    chosen = spend([sum(sizes[name] for name in group) for group in groups], errors, budget)
    return {name: bits for group, bits in zip(groups, chosen, strict=True) for name in group}


def split(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Neighbouring weights in at most `count` groups of about the same number of values."""
    total, done = sum(sizes.values()), 0
    groups: dict[int, list[str]] = {}
    for name, size in sizes.items():
        groups.setdefault(min(done * count // total, count - 1), []).append(name)
        done += size
    return list(groups.values())


def spend(sizes: Sequence[int], errors: Errors, budget: float) -> list[int]:
    """Bits by group: from the most, steps down are taken by the least error for each bit saved until the budget holds."""
    chosen = [CHOICES[-1]] * len(sizes)
    while sum(bits * size for bits, size in zip(chosen, sizes, strict=True)) > budget * sum(sizes):
        steps = [
            ((errors[i, fewer] - errors[i, bits]) / ((bits - fewer) * sizes[i]), i, fewer)
            for i, bits in enumerate(chosen)
            for fewer in CHOICES
            if fewer < bits
        ]
        _, group, bits = min(steps)
        chosen[group] = bits
    return chosen


def _measure(half: Path, groups: Sequence[Sequence[str]], cases: Sequence[Feeds]) -> Errors:
    """The error of every group in few bits while all others stay FP16; 8 bits count as none."""
    reference = _outputs(half, cases)
    errors = {(i, CHOICES[-1]): 0.0 for i in range(len(groups))}
    with TemporaryDirectory() as folder:
        for i, group in enumerate(groups):
            for bits in CHOICES[:-1]:
                path = Path(folder) / f"{i}-{bits}.mlpackage"
                palettize(half, path, dict.fromkeys(group, bits))
                errors[i, bits] = _difference(_outputs(path, cases), reference)
                shutil.rmtree(path)
    return errors


def _outputs(path: Path, cases: Sequence[Feeds]) -> Outputs:
    evaluate = Evaluator(path, "fp16")
    return [evaluate(feeds) for feeds in cases]


def _difference(found: Outputs, right: Outputs) -> float:
    """Sum of the squared relative errors of all outputs."""
    pairs = [(a[name], b[name]) for a, b in zip(found, right, strict=True) for name in b]
    return sum(float(np.square(a - b).sum() / np.square(b).sum()) for a, b in pairs)
