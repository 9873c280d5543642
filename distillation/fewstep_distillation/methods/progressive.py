"""Progressive distillation (Salimans and Ho 2022, arXiv:2202.00512): one step of the student for two of its teacher."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from fewstep_distillation.flow import clean, integrate, maps, noised
from fewstep_distillation.student import Batch, Student, StudentConfig

Weighting = Literal["truncated-snr", "snr+1", "flow"]


@dataclass(frozen=True)
class Progressive:
    """One round: a student of N steps from a teacher of ``substeps`` N. The next round takes this student for its teacher.

    ``weighting`` is the weight of the squared error of the clean latents: ``max(SNR, 1)``, ``1 + SNR`` or ``1 / sigma^2``, that of
    the velocities, with ``SNR = (1 - sigma)^2 / sigma^2``.
    """

    type: str = field(default="progressive", init=False)
    substeps: int = 2
    weighting: Weighting = "flow"

    def __post_init__(self) -> None:
        """Refuse a teacher without steps and an unknown weighting."""
        if self.substeps < 1:
            raise ValueError(f"substeps must be at least 1, found {self.substeps}")
        if self.weighting not in ("truncated-snr", "snr+1", "flow"):
            raise ValueError(f"weighting must be truncated-snr, snr+1 or flow, found {self.weighting!r}")

    def build(self, config: StudentConfig) -> "ProgressiveMethod":
        """The method."""
        return ProgressiveMethod(self, config)


class ProgressiveMethod(Student):
    """``w(sigma) |x~ - x_theta|^2`` with the target x~ that takes the student where the teacher's steps went."""

    def __init__(self, objective: Progressive, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch at random steps of the student."""
        batch = self.batch(batch_size, generator)
        step = torch.randint(self.config.steps, (batch_size,), generator=generator, device=self.device)
        sigma, end = self.levels[step], self.levels[step + 1]
        x = noised(batch.x0, self.noise(batch.x0, generator), sigma)
        target = step_target(x, sigma, self.walk(x, sigma, end, batch), end)
        predicted = clean(x, module(x, 1000 * sigma, batch.states, batch.mask).float(), sigma)
        weight = maps(error_weight(sigma, self.objective.weighting))
        return (weight * (predicted - target).square()).mean(), {}

    def walk(self, x: Tensor, sigma: Tensor, end: Tensor, batch: Batch, scale: float | None = None) -> Tensor:
        """Where the teacher's steps, even in sigma, lead from sigma to the end; ``scale`` is that of its guidance."""
        count = self.objective.substeps
        levels = [sigma + (end - sigma) * k / count for k in range(count + 1)]
        return integrate(lambda x, here: self.guided(x, here, batch, scale), x, levels)


def step_target(x: Tensor, sigma: Tensor, reached: Tensor, end: Tensor) -> Tensor:
    """The clean latents that one DDIM step from (x, sigma) must predict to land on ``reached`` at the level ``end``.

    ``x~ = (x'' - (sigma''/sigma) x) / (alpha'' - (sigma''/sigma) alpha)`` with alpha = 1 - sigma (their appendix G, in flow notation).
    """
    ratio = maps(end / sigma)
    return (reached - ratio * x) / (1 - ratio)


def error_weight(sigma: Tensor, weighting: Weighting) -> Tensor:
    """The weight (B,) of a squared error of clean latents at each level."""
    snr = ((1 - sigma) / sigma).square()
    if weighting == "truncated-snr":
        return snr.clamp(min=1)
    return 1 + snr if weighting == "snr+1" else 1 / sigma.square()
