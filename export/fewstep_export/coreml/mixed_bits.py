"""How many bits each weight's palettes get under a budget, by the error that each causes at the outputs.

Apple's recipe (mixed-bit palettization of Stable Diffusion) stores one weight at a time in few bits and ranks weights by what that does to
the output. Here the same is measured on palettes with GPTQ's error feedback (`palettes.py`) over the inputs of whole trajectories. What
other bits would do is told by the error of the layer itself, and the bits are spent by greedy choice: the step down whose error
grows least for each bit saved goes first. Errors of weights are taken to add.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewstep.network import Feeds
from fewstep_export.components import Array
from fewstep_export.coreml.calibration import Weights, hessians
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.palettes import PaletteForm, error, fit
from fewstep_export.coreml.trajectories import spread

SMALLEST = 512
"""Weights with fewer values stay FP16: their palettes would cost what they save."""
MEASURED = 4
"""So many inputs, spread over those given, are evaluated for each weight: a run takes half a second."""
_PALETTE_COST = 0.08
"""Bits a weight that palettes may cost; output channels share a palette until it holds."""


@dataclass(frozen=True)
class Option:
    """What a number of bits costs, in bits a weight with the palettes' share, and the squared relative error at the outputs."""

    cost: float
    error: float


Options = Mapping[int, Option]
"""By bits of an index."""


@dataclass(frozen=True)
class Stored:
    """A weight in values of its palettes, (O, K) float32, and how it is stored."""

    values: Tensor
    form: PaletteForm


class Fitted:
    """The weights of an FP16 package in palettes; what several precisions need of it is computed once.

    Args:
        half: the FP16 package.
        cases: inputs of whole trajectories, one row each.
        grouped: whether a few output channels may share a palette, which needs iOS 18; else all of a weight do.
    """

    def __init__(self, half: Path, cases: Sequence[Feeds], grouped: bool) -> None:
        self._half, self._cases, self._grouped = half, cases, grouped
        self._weights = Weights.read(half, SMALLEST).values
        self._hessians = hessians(half, cases)
        self._stored: dict[int, Mapping[str, Stored]] = {}

    def choose(self, choices: Sequence[int], budget: float) -> Mapping[str, Stored]:
        """All weights in palettes.

        Args:
            choices: bits of an index that a weight may have, ascending; one alone is taken for all.
            budget: bits a weight on average, palettes included; more than the least that the choices allow.
        """
        forms = {bits: self._all_in(bits) for bits in choices}
        if len(choices) == 1:
            return forms[choices[0]]
        cases = spread(self._cases, MEASURED)
        measured = _measure(self._half, forms[choices[0]], cases)
        options = [
            _options(
                weight, {b: form[name] for b, form in forms.items()}, self._hessians.get(name), measured[name]
            )
            for name, weight in self._weights.items()
        ]
        chosen = spend([weight.numel() for weight in self._weights.values()], options, budget)
        return {name: forms[bits][name] for name, bits in zip(self._weights, chosen, strict=True)}

    def _all_in(self, bits: int) -> Mapping[str, Stored]:
        if bits not in self._stored:
            self._stored[bits] = {
                name: _store(weight, bits, self._grouped, self._hessians.get(name))
                for name, weight in self._weights.items()
            }
        return self._stored[bits]


def spend(sizes: Sequence[int], options: Sequence[Options], budget: float) -> list[int]:
    """Bits by weight: from the most, steps down are taken by the least error for each bit saved until the budget holds.

    A budget that is out of reach gives all weights the fewest bits.
    """
    chosen, left = [max(option) for option in options], budget * sum(sizes)
    while (
        sum(option[bits].cost * size for option, bits, size in zip(options, chosen, sizes, strict=True))
        > left
    ):
        steps = [
            (_slope(option[bits], option[fewer]) / size, i, fewer)
            for i, (option, bits, size) in enumerate(zip(options, chosen, sizes, strict=True))
            for fewer in option
            if fewer < bits
        ]
        if not steps:
            break
        _, weight, bits = min(steps)
        chosen[weight] = bits
    return chosen


def _slope(now: Option, fewer: Option) -> float:
    """The error for each bit saved."""
    return (fewer.error - now.error) / (now.cost - fewer.cost)


def _options(
    weight: Tensor, forms: Mapping[int, Stored], hessian: Tensor | None, measured: float
) -> dict[int, Option]:
    """What each number of bits costs and does: `measured` with the fewest, with more as the error of the layer itself shrinks."""
    inputs = torch.eye(weight.shape[1]) if hessian is None else hessian
    own = {bits: error(weight, stored.values, inputs) for bits, stored in forms.items()}
    most = max(*own.values(), 1e-12)
    return {bits: Option(_cost(stored), measured * own[bits] / most) for bits, stored in forms.items()}


def _store(weight: Tensor, bits: int, grouped: bool, hessian: Tensor | None) -> Stored:
    form = PaletteForm(bits, shared_by(bits, *weight.shape) if grouped else 0)
    return Stored(fit(weight, form, hessian), form)


def shared_by(bits: int, rows: int, columns: int) -> int:
    """How many output channels share a palette of 16-bit values, so that palettes cost little; 0 if all have to."""
    wanted = 16 * 2**bits / (_PALETTE_COST * columns)
    return min((size for size in range(1, rows) if rows % size == 0 and size >= wanted), default=0)


def _cost(stored: Stored) -> float:
    """Bits a weight."""
    palettes = stored.form.groups(len(stored.values)) * 16 * 2**stored.form.bits
    return stored.form.bits + palettes / stored.values.numel()


def _measure(half: Path, coarse: Mapping[str, Stored], cases: Sequence[Feeds]) -> Mapping[str, float]:
    """By weight, the squared relative error of the outputs while it alone is stored."""
    evaluate = Evaluator(half, "fp16")
    right = [evaluate(feeds) for feeds in cases]
    measured = {}
    for name, stored in coarse.items():
        run = evaluate.with_constants({name: stored.values.numpy().astype(np.float16)})
        measured[name] = sum(_difference(run(feeds), b) for feeds, b in zip(cases, right, strict=True))
    return measured


def _difference(found: Mapping[str, Array], right: Mapping[str, Array]) -> float:
    """Sum of the squared relative errors of all outputs."""
    return sum(float(np.square(found[name] - b).sum() / np.square(b).sum()) for name, b in right.items())
