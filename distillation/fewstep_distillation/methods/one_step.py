"""One-step knowledge distillation (Luhman and Luhman 2021, arXiv:2101.02388): regress the teacher's picture from its noise."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fewstep_distillation.flow import clean
from fewstep_distillation.pairs import PairedStudent
from fewstep_distillation.student import StudentConfig


@dataclass(frozen=True)
class OneStep:
    """``pairs`` pictures by ``teacher_steps`` Euler steps of the guided teacher, made before training."""

    type: str = field(default="one-step", init=False)
    pairs: int = 32768
    teacher_steps: int = 20

    def __post_init__(self) -> None:
        """Refuse an empty set of pairs."""
        if self.pairs < 1 or self.teacher_steps < 1:
            raise ValueError(
                f"pairs and teacher_steps must be positive, found {self.pairs}, {self.teacher_steps}"
            )

    def build(self, config: StudentConfig) -> "OneStepMethod":
        """The method."""
        if config.steps != 1:
            raise ValueError(f"one-step distillation makes students of 1 step, found steps = {config.steps}")
        return OneStepMethod(self, config)


class OneStepMethod(PairedStudent):
    """``|x_theta(n, 1) - y|^2`` with y the teacher's picture of the noise n."""

    def __init__(self, objective: OneStep, config: StudentConfig) -> None:
        super().__init__(objective.pairs, objective.teacher_steps, config)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch of pairs."""
        noise, batch = self.pairs.draw(self, batch_size, generator)
        sigma = noise.new_ones(batch_size)
        predicted = clean(noise, module(noise, 1000 * sigma, batch.states, batch.mask).float(), sigma)
        return (predicted - batch.x0).square().mean(), {}
