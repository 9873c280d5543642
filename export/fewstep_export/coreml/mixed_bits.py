"""How many bits each weight's palettes get under a budget for a whole model, by the error that each causes in pictures.

Apple's recipe (mixed-bit palettization of Stable Diffusion) stores one weight at a time in few bits and ranks the weights of one network
by what that does to its output. Here palettes have GPTQ's error feedback (`palettes.py`), their errors are those of whole pictures
(`picture_gradients.py`), measured for every number of bits, and one budget holds for all networks together. Bits are spent by greedy choice:
the step down whose error grows least for each bit saved goes first. Errors of weights are taken to add.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fewstep.loop_form import TEXT_ENCODER
from fewstep.network import Feeds
from fewstep_export.coreml.calibration import Weights, hessians
from fewstep_export.coreml.palettes import PaletteForm, fit
from fewstep_export.coreml.picture_gradients import Changes, Errors

SMALLEST = 512
"""Weights with fewer values stay FP16: their palettes would cost what they save."""
TEXT_BITS = 4.05
"""What the layers of a text encoder may take at most, bits a weight on average. Their errors move pictures as far as those of a denoiser do, but to
others that are nearly as good."""
WORDS = 3
"""Bits of a table of words, which is a third of a small model: each word has its own error, and what a prompt does is told by the layers behind."""
LEAST: Mapping[str, int] = {TEXT_ENCODER: 4, "decoder": 8}
"""The fewest bits of other weights by component, where a few pictures do not tell the truth: most words are in none of them, and the grain that a
decoder leaves is a small error everywhere that a Frechet distance sees."""
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
        padded: whether states behind the texts do not count (see `hessians`).
    """

    def __init__(self, half: Path, cases: Sequence[Feeds], grouped: bool, padded: bool = False) -> None:
        self._grouped = grouped
        read = Weights.read(half, SMALLEST)
        self._weights = read.values
        self.words = frozenset(name for name, operator in read.operators.items() if operator == "gather")
        """The tables of which rows are taken."""
        self._hessians = hessians(half, cases, padded)
        self._stored: dict[int, Mapping[str, Stored]] = {}

    def in_bits(self, bits: int) -> Mapping[str, Stored]:
        """All weights in palettes of 2^bits values."""
        if bits not in self._stored:
            self._stored[bits] = {
                name: _store(weight, bits, self._grouped, self._hessians.get(name))
                for name, weight in self._weights.items()
            }
        return self._stored[bits]

    def changes(self, choices: Sequence[int]) -> Changes:
        """The weights in each of these numbers of bits."""
        return {name: {bits: self.in_bits(bits)[name].values for bits in choices} for name in self._weights}


def mixed(
    fitted: Mapping[str, Fitted], errors: Mapping[str, Errors], choices: Sequence[int], budget: float
) -> Mapping[str, Mapping[str, Stored]]:
    """The weights of all networks in palettes, by component.

    Args:
        fitted: the networks.
        errors: what each weight in so many bits does to pictures.
        choices: bits of an index that a weight may have, ascending.
        budget: bits a weight on average over all networks, palettes included; more than the least that the choices allow.
    """
    forms = {name: {bits: network.in_bits(bits) for bits in choices} for name, network in fitted.items()}
    weights = [(name, w) for name, some in forms.items() for w in some[choices[0]]]
    sizes = {(name, w): forms[name][choices[0]][w].values.numel() for name, w in weights}
    options = {
        (name, w): _options(forms[name], w, errors[name][w], _allowed(name, w in fitted[name].words, choices))
        for name, w in weights
    }

    def spent(some: Sequence[tuple[str, str]], bits: float) -> dict[tuple[str, str], int]:
        chosen = spend([sizes[k] for k in some], [options[k] for k in some], bits)
        return dict(zip(some, chosen, strict=True))

    chosen = {key: min(option) for key, option in options.items() if len(option) == 1}
    text = [key for key in weights if key[0] == TEXT_ENCODER and key not in chosen]
    others = [key for key in weights if key[0] != TEXT_ENCODER and key not in chosen]
    chosen |= spent(text, min(TEXT_BITS, budget))
    left = budget * sum(sizes.values()) - sum(options[k][b].cost * sizes[k] for k, b in chosen.items())
    chosen |= spent(others, left / max(sum(sizes[k] for k in others), 1))
    return {name: {w: some[chosen[name, w]][w] for w in some[choices[0]]} for name, some in forms.items()}


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


def _allowed(component: str, words: bool, choices: Sequence[int]) -> Sequence[int]:
    """The bits that a weight may have."""
    if words and component == TEXT_ENCODER:
        return (min(choices, key=lambda bits: abs(bits - WORDS)),)
    return [bits for bits in choices if bits >= LEAST.get(component, 0)]


def _options(
    forms: Mapping[int, Mapping[str, Stored]],
    weight: str,
    errors: Mapping[int, float],
    allowed: Sequence[int],
) -> Options:
    """What each number of bits costs and does; more bits are taken to do no more harm than fewer, which an estimate may say."""
    worst, options = float("inf"), {}
    for bits in allowed:
        worst = min(worst, errors[bits])
        options[bits] = Option(cost(forms[bits][weight]), worst)
    return options


def _store(weight: Tensor, bits: int, grouped: bool, hessian: Tensor | None) -> Stored:
    form = PaletteForm(bits, shared_by(bits, *weight.shape) if grouped else 0)
    return Stored(fit(weight, form, hessian), form)


def shared_by(bits: int, rows: int, columns: int) -> int:
    """How many output channels share a palette of 16-bit values, so that palettes cost little; 0 if all have to."""
    wanted = 16 * 2**bits / (_PALETTE_COST * columns)
    return min((size for size in range(1, rows) if rows % size == 0 and size >= wanted), default=0)


def cost(stored: Stored) -> float:
    """Bits a weight, with the palettes' share."""
    palettes = stored.form.groups(len(stored.values)) * 16 * 2**stored.form.bits
    return stored.form.bits + palettes / stored.values.numel()
