"""Palettes moved by gradients towards what the network computes in FP16; the indices into them stay.

GPTQ fits every layer to its own outputs alone. Here the values of all palettes, the biases and the norms of a network move together (Adam), so
that later layers take up what is left of the errors of earlier ones, as in the last phase of AQLM (Egiazarian et al. 2024, arXiv:2401.06118). The
network has as many bytes as before.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fewstep.network import Feeds
from fewstep_export.components import Array
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.mixed_bits import Stored
from fewstep_export.coreml.package import Literal, read_package, stored_constants

_MOVED = {"linear": ("bias",), "conv": ("bias",), "layer_norm": ("gamma", "beta")}
"""Arguments that move beside the palettes, by operator."""


@dataclass(frozen=True)
class TuningConfig:
    """How long and how fast.

    Attributes:
        rounds: how often every input is met.
        rows: inputs a step.
        rate: Adam's, at its highest; weights of text encoders have a standard deviation of 0.05, and 0.001 did worse for 50 steps.
        judged: one input of so many is not met, but tells whether anything was won.
    """

    rounds: int = 1
    rows: int = 16
    rate: float = 5e-4
    judged: int = 16


@dataclass(frozen=True)
class Tuned:
    """Weights in moved palettes, and the constants that moved beside them, in the package's types."""

    weights: Mapping[str, Stored]
    others: Mapping[str, Array]


def tune(
    half: Path,
    chosen: Mapping[str, Stored],
    fixed: frozenset[str],
    cases: Sequence[Feeds],
    padded: bool,
    config: TuningConfig | None = None,
) -> Tuned:
    """The weights in palettes that bring the outputs nearer to those of FP16; unchanged if inputs that were not met get worse.

    Args:
        half: the FP16 package.
        chosen: its weights in palettes.
        fixed: weights that stay: of a table of words, a text tells only some palettes.
        cases: inputs, one row each.
        padded: whether states behind the texts, by `text_mask`, do not count.
        config: see there.
    """
    config, network = config or TuningConfig(), _Network(half, chosen, fixed, padded)
    judged = cases[:: config.judged]
    met = [case for place, case in enumerate(cases) if place % config.judged]
    if not met or not network.palettes:
        return Tuned(chosen, {})
    before = network.error(judged)
    steps = max(config.rounds * len(met) // config.rows, 1)
    optimizer = torch.optim.Adam(network.parameters(), config.rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps))
    for _, rows in zip(range(steps), _batches(len(met), config.rows), strict=False):
        network.collect([met[row] for row in rows])
        optimizer.step()
        schedule.step()
    return network.tuned() if network.error(judged) < before else Tuned(chosen, {})


def _share(step: int, steps: int) -> float:
    """Of the highest rate: a tenth of the steps up, then half a wave of a cosine down."""
    return min(1.0, 10 * (step + 1) / steps) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _batches(count: int, rows: int) -> Iterator[Array]:
    """Places of the inputs of every step, each round in another order."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(count)
        yield from (order[i : i + rows] for i in range(0, max(count - rows, 0) + 1, rows))


class _Palettes:
    """The palettes of a weight (G, count) and which value each of its numbers has (G, n)."""

    def __init__(self, stored: Stored) -> None:
        groups = stored.values.reshape(stored.form.groups(len(stored.values)), -1)
        found = [row.unique(return_inverse=True) for row in groups]
        self.stored = stored
        self.values = pad_sequence([values for values, _ in found], batch_first=True).requires_grad_()
        self._places = torch.stack([places for _, places in found])

    def weight(self) -> Tensor:
        """The weight as FP16 would hold it (O, K), without a gradient."""
        values = self.values.detach().half().float()
        return values.gather(1, self._places).reshape(self.stored.values.shape)

    def take(self, gradient: Tensor) -> None:
        """Gives the palettes their gradients, of that of the weight (O, K)."""
        self.values.grad = torch.zeros_like(self.values).scatter_add_(
            1, self._places, gradient.reshape(self._places.shape)
        )


class _Network:
    """A package whose palettes, biases and norms move."""

    def __init__(self, half: Path, chosen: Mapping[str, Stored], fixed: frozenset[str], padded: bool) -> None:
        self._evaluate, self._padded, self._chosen = Evaluator(half, "fp32"), padded, chosen
        self.palettes = {n: _Palettes(stored) for n, stored in chosen.items() if n not in fixed}
        self._fixed = {n: chosen[n].values for n in fixed & chosen.keys()}
        self._types = _moved(half)
        self._others = {
            name: torch.from_numpy(value.astype(np.float32)).requires_grad_()
            for name, value in self._types.items()
        }

    def parameters(self) -> list[Tensor]:
        """All that moves."""
        return [*(palettes.values for palettes in self.palettes.values()), *self._others.values()]

    def collect(self, cases: Sequence[Feeds]) -> None:
        """Sets the gradients of the mean error over the inputs."""
        weights = {name: palettes.weight().requires_grad_() for name, palettes in self.palettes.items()}
        for other in self._others.values():
            other.grad = None
        for feeds in cases:
            (self._error(feeds, {**weights, **self._others}) / len(cases)).backward()
        for name, weight in weights.items():
            if weight.grad is not None:
                self.palettes[name].take(weight.grad)

    def error(self, cases: Sequence[Feeds]) -> float:
        """The mean over the inputs of the squared error of all outputs, relative to their squares."""
        weights = {name: palettes.weight() for name, palettes in self.palettes.items()}
        with torch.no_grad():
            return float(np.mean([float(self._error(case, {**weights, **self._others})) for case in cases]))

    def tuned(self) -> Tuned:
        """What has come out, in the types of the package."""
        weights = {name: replace(p.stored, values=p.weight()) for name, p in self.palettes.items()}
        others = {n: v.detach().numpy().astype(self._types[n].dtype) for n, v in self._others.items()}
        return Tuned({name: weights.get(name, stored) for name, stored in self._chosen.items()}, others)

    def _error(self, feeds: Feeds, constants: Mapping[str, Tensor]) -> Tensor:
        given = {name: torch.from_numpy(np.array(value)) for name, value in feeds.items()}
        with torch.no_grad():
            right = self._evaluate.tensors(given)
        found = self._evaluate.tensors(given, {**constants, **self._fixed})
        errors = [
            _relative(found[name], value, self._counted(name, {**given, **right}))
            for name, value in right.items()
            if value.is_floating_point() and name != "text_mask"
        ]
        return torch.stack(errors).sum()

    def _counted(self, output: str, values: Mapping[str, Tensor]) -> Tensor:
        """Where the values of an output count, 1 or 0."""
        return values["text_mask"][..., None] if self._padded and output == "text_states" else torch.ones(())


def _relative(found: Tensor, right: Tensor, counted: Tensor) -> Tensor:
    """The squared error relative to the squares."""
    return ((found - right) * counted).square().sum() / (right * counted).square().sum().clamp(min=1e-12)


def _moved(half: Path) -> Mapping[str, Array]:
    """Biases and norms in the weight file of a package, by name."""
    operations = read_package(half).operations
    asked = {
        operation.arguments[argument]
        for operation in operations
        for argument in _MOVED.get(operation.operator, ())
        if isinstance(operation.arguments.get(argument), str)
    }
    kept = stored_constants(half) & asked
    found = {}
    for operation in operations:
        name, value = next(iter(operation.outputs), ""), operation.arguments.get("val")
        if name in kept and isinstance(value, Literal):  # a stored one, so no text
            found[name] = np.array(value.value)
    return found
