"""Latent consistency distillation (Luo et al. 2023, arXiv:2310.04378), with the weights or with a LoRA (arXiv:2311.05556)."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from fewstep_distillation.flow import clean, euler, noised
from fewstep_distillation.student import Student, StudentConfig


@dataclass(frozen=True)
class Consistency:
    """Neighbours are ``skip`` apart in sigma; ``huber`` is c of the pseudo-Huber distance, in units of the root of a latent's size."""

    type: str = field(default="consistency", init=False)
    skip: float = 0.05
    huber: float = 0.00054

    def __post_init__(self) -> None:
        """Refuse neighbours that are no neighbours."""
        if not 0 < self.skip <= 1 or self.huber <= 0:
            raise ValueError(
                f"skip must lie in (0, 1] and huber be positive, found {self.skip} and {self.huber}"
            )

    def build(self, config: StudentConfig) -> "ConsistencyMethod":
        """The method."""
        return ConsistencyMethod(self, config)


class ConsistencyMethod(Student):
    """``d(f(x, sigma), sg f(x', sigma'))`` with x' one Euler step of the guided teacher from x to ``sigma' = sigma - skip``.

    ``f(x, sigma) = x - sigma u`` is the prediction of clean latents, which is x at sigma = 0 without further ado: a flow needs no
    c_skip and c_out.
    """

    sampler: ClassVar[str] = "flow-renoise"

    def __init__(self, objective: Consistency, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch at uniform levels."""
        batch = self.batch(batch_size, generator)
        sigma = 1 - torch.rand(batch_size, generator=generator, device=self.device)  # in (0, 1]
        below = (sigma - self.objective.skip).clamp(min=0)
        x = noised(batch.x0, self.noise(batch.x0, generator), sigma)
        there = euler(x, self.guided(x, sigma, batch), sigma, below)
        with torch.no_grad():
            velocity = module(there, 1000 * below, batch.states, batch.mask).float()
        predicted = clean(x, module(x, 1000 * sigma, batch.states, batch.mask).float(), sigma)
        return pseudo_huber(predicted, clean(there, velocity, below), self.objective.huber).mean(), {}


def pseudo_huber(a: Tensor, b: Tensor, c: float) -> Tensor:
    """``sqrt(|a - b|^2 + c^2 D) - c sqrt(D)`` (B,) for latents of D values (Song and Dhariwal 2023, arXiv:2310.14189), over sqrt(D)."""
    squared = (a - b).square().flatten(1).mean(1)
    return (squared + c**2).sqrt() - c
