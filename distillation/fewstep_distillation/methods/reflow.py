"""Reflow (Liu et al. 2022, arXiv:2209.03003; InstaFlow, Liu et al. 2023, arXiv:2309.06380): straighten the flow between pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.flow import Velocity, integrate, noised
from fewstep_distillation.pairs import PairedStudent, even_levels
from fewstep_distillation.student import StudentConfig
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma

PICTURES, STEPS = 64, 20
"""Of which straightness is measured: captions with noise, and Euler steps."""


@dataclass(frozen=True)
class Reflow:
    """One round; the next takes this student for its teacher.

    ``pairs`` pictures by ``teacher_steps`` Euler steps of the guided teacher. Noise levels are uniform, with a part ``at_noise`` of
    them at sigma = 1, where a student of one step is asked.
    """

    type: str = field(default="reflow", init=False)
    pairs: int = 32768
    teacher_steps: int = 20
    at_noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an empty set of pairs and what is no part of a batch."""
        if self.pairs < 1 or self.teacher_steps < 1 or not 0 <= self.at_noise <= 1:
            raise ValueError(
                "pairs and teacher_steps must be positive and at_noise in [0, 1], "
                f"found {self.pairs}, {self.teacher_steps}, {self.at_noise}"
            )

    def build(self, config: StudentConfig) -> "ReflowMethod":
        """The method."""
        return ReflowMethod(self, config)


class ReflowMethod(PairedStudent):
    """``|u_theta((1 - sigma) y + sigma n, sigma) - (n - y)|^2`` over pairs (n, y) of the teacher."""

    def __init__(self, objective: Reflow, config: StudentConfig) -> None:
        super().__init__(objective.pairs, objective.teacher_steps, config)
        self.objective = objective
        self.measured: dict[str, float] = {}

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch of pairs at random levels."""
        noise, batch = self.pairs.draw(self, batch_size, generator)
        sigma = sample_sigma(TimestepConfig("uniform"), batch_size, generator)
        coin = torch.rand(batch_size, generator=generator, device=sigma.device)
        sigma = torch.where(coin < self.objective.at_noise, 1.0, sigma)
        velocity = module(noised(batch.x0, noise, sigma), 1000 * sigma, batch.states, batch.mask)
        return F.mse_loss(velocity.float(), noise - batch.x0), {}

    def write(self, module: nn.Module, folder: Path) -> None:
        """As every method; ``training`` says besides how straight the flows of teacher and student are, from the same noise."""
        generator = torch.Generator(self.device).manual_seed(self.config.run.seed)
        batch = self.batch(PICTURES, generator)
        noise = self.noise(batch.x0, generator)

        def own(x: Tensor, sigma: Tensor) -> Tensor:
            with self.precision():
                return self.branches(module, x, sigma, batch, 1.0)[0]

        flows: Mapping[str, Velocity] = {"teacher": partial(self.guided, batch=batch), "student": own}
        self.measured = {name: straightness(flow, noise, STEPS) for name, flow in flows.items()}
        super().write(module, folder)

    def _facts(self) -> Mapping[str, object]:
        return {**super()._facts(), **({"straightness": self.measured} if self.measured else {})}


@torch.no_grad()
def straightness(velocity: Velocity, noise: Tensor, steps: int) -> float:
    """``E |(n - x0) - u(x_sigma, sigma)|^2`` along a flow from noise (B, C, h, w), averaged over Euler steps: 0 where its paths are lines.

    (Liu et al. 2022, section 2.2; here a mean over latents, so that a value of 1 is the variance of a latent.)
    """
    velocities: list[Tensor] = []

    def heard(x: Tensor, sigma: Tensor) -> Tensor:
        velocities.append(velocity(x, sigma))
        return velocities[-1]

    x = integrate(heard, noise, even_levels(steps, len(noise), noise.device))
    return float(torch.stack([(noise - x - u).square().mean() for u in velocities]).mean())
