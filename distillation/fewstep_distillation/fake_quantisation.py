"""Layers that compute in floats what `fewstep quantize --scheme int8` computes in integers (Jacob et al. 2018, arXiv:1712.05877).

Rounding has the gradient of the identity (Bengio et al. 2013, arXiv:1308.3432). A weight is ``s q`` with -127 <= q <= 127 and one step s an output; an input
``s (q - z)`` with 0 <= q <= 255 and one s and z a tensor. Outputs stay floats. An input of one row a picture, as those of the timestep, stays a float, as
it does in `int8`; so does one that 8 bits round too coarsely, since `int8` gives it two planes of 8 bits.
"""

import copy
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, sqrt

import torch
from torch import Tensor, nn

from fewstep_distillation.lora import is_product

_LEVELS, _WEIGHT_LEVELS = 255, 127
_SMALLEST = 1e-12


class FakeQuantised(nn.Module):
    """A layer with its weight rounded and, once its range was seen, its input."""

    step: Tensor
    zero: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.seen: Seen | None = None
        self.rounds = False
        for name in ("step", "zero"):  # tensors, so that compiled blocks are the same program
            self.register_buffer(name, torch.ones((), device=layer.weight.device), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The layer's weight on its grid, in its shape."""
        weight = self.layer.weight
        largest = weight.detach().flatten(1).abs().amax(dim=1)
        step = (largest / _WEIGHT_LEVELS).clamp(min=_SMALLEST).reshape(-1, *[1] * (weight.ndim - 1))
        return rounded(weight / step) * step

    def settle(self, noise: float) -> None:
        """Rounds its inputs from now on, if it saw any and 8 bits lose no more than ``noise`` of them."""
        if self.seen is None:
            return
        step = max((self.seen.high - self.seen.low) / _LEVELS, _SMALLEST)
        self.step.fill_(step)
        self.zero.fill_(round(-self.seen.low / step))
        self.rounds, self.seen = self.seen.lost(step) <= noise, None

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            self.seen.watch(x.detach().float())
        if self.rounds:
            x = ((rounded(x / self.step) + self.zero).clamp(0, _LEVELS) - self.zero) * self.step
        if isinstance(self.layer, nn.Conv2d):
            return nn.functional.conv2d(x, self.weight, self.layer.bias)
        return nn.functional.linear(x, self.weight, self.layer.bias)


@dataclass
class Seen:
    """What a layer was given so far; 0 is among it, and what has one row a picture is not."""

    low: float = 0.0
    high: float = 0.0
    squares: float = 0.0
    count: int = 0

    def watch(self, x: Tensor) -> None:
        """Notes an input."""
        if x.ndim > 2:
            self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
            self.squares, self.count = self.squares + float(x.square().sum()), self.count + x.numel()

    def lost(self, step: float) -> float:
        """The root mean square error of a step, over that of what was seen; infinite if nothing was."""
        size = sqrt(self.squares / self.count) if self.count else 0.0
        return step / sqrt(12) / size if size else inf


def rounded(x: Tensor) -> Tensor:
    """The nearest integers, with the gradient of x."""
    return x + (x.round() - x).detach()


def fake_quantise(module: nn.Module, float_layers: Collection[str]) -> None:
    """Lets all linear layers and dense 1x1 convolutions compute so, but those named."""
    for where, parent in list(module.named_modules()):
        for name, layer in list(parent.named_children()):
            full = f"{where}.{name}" if where else name
            if full not in float_layers and is_product(layer):
                setattr(parent, name, FakeQuantised(layer))


@contextmanager
def watched(module: nn.Module, noise: float) -> Iterator[None]:
    """While the block runs, the inputs of the layers are noted; afterwards they are rounded, but those that lose more than ``noise``."""
    layers = _layers(module)
    for layer in layers:
        layer.seen, layer.rounds = Seen(), False
    yield
    for layer in layers:
        layer.settle(noise)


def take_ranges(module: nn.Module, other: nn.Module) -> None:
    """Lets a module round its inputs as a copy of it does."""
    for layer, known in zip(_layers(module), _layers(other), strict=True):
        layer.step.copy_(known.step)
        layer.zero.copy_(known.zero)
        layer.rounds = known.rounds


def on_grid(module: nn.Module) -> nn.Module:
    """A copy of plain layers whose weights are the rounded ones: their own grid, so that rounding them again changes nothing."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, FakeQuantised):
                with torch.no_grad():
                    layer.layer.weight.copy_(layer.weight)
                setattr(parent, name, layer.layer)
    return module


def _layers(module: nn.Module) -> list[FakeQuantised]:
    return [part for part in module.modules() if isinstance(part, FakeQuantised)]
