"""What the trainer asks of a training method."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Method(Protocol):
    """A module, its loss on one batch, and what is written of its averaged weights."""

    module: nn.Module

    def prepare(self, device: torch.device) -> None:
        """Move frozen parts and data to the device, once, before the first step."""

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise and detached scalars to log; every random choice comes from ``generator``."""

    def write(self, module: nn.Module, folder: Path) -> None:
        """Save the (averaged) module as FP16 weights, with a picture to look at."""


@runtime_checkable
class Sampled(Protocol):
    """A method whose module draws: sheets of pictures show how it comes on."""

    def sample(self, module: nn.Module, path: Path) -> None:
        """Write a PNG of pictures that the (averaged) module draws of prompts it never saw."""


@runtime_checkable
class Scheduled(Protocol):
    """A method whose loss changes in the course of training."""

    updates: int
    """Updates of the module so far; the trainer sets it."""


@runtime_checkable
class Criticised(Protocol):
    """A method with a second player, which is trained against the module: a discriminator, or the score of its pictures."""

    critic: nn.Module
    critic_updates: int
    """Updates of the critic before each one of the module."""
    critic_rate: float
    """Factor on the learning rate of the run."""

    def critic_loss(
        self, critic: nn.Module, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The critic's loss; gradients go to the critic alone."""
