"""Continuous-time consistency distillation, sCM (Lu and Song 2024, arXiv:2410.11081), from a flow teacher (SANA-Sprint, arXiv:2503.09641)."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from fewstep_distillation.flow import maps
from fewstep_distillation.score_distillation import gradient_loss
from fewstep_distillation.student import Batch, Student, StudentConfig
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma
from fewstep_distillation.trigflow import angle, level, to_flow, told_by_flow, trig_noised, trig_velocity


@dataclass(frozen=True)
class ContinuousConsistency:
    """``levels`` are those of the flow: a logit-normal sigma is their ``tan t = exp(tau)`` with a normal tau.

    The part of the tangent that needs the derivative of the network comes in over ``tangent_warmup`` updates.
    """

    type: str = field(default="scm", init=False)
    levels: TimestepConfig = field(default_factory=lambda: TimestepConfig(mean=0.4, std=1.6))
    tangent_warmup: int = 500
    normaliser: float = 0.1

    def __post_init__(self) -> None:
        """Refuse a tangent that never comes in, and one without bound."""
        if self.tangent_warmup < 1 or self.normaliser <= 0:
            raise ValueError(
                f"tangent_warmup and normaliser must be positive, found {self.tangent_warmup} and {self.normaliser}"
            )

    def build(self, config: StudentConfig) -> "ContinuousConsistencyMethod":
        """The method."""
        return ContinuousConsistencyMethod(self, config)


class ContinuousConsistencyMethod(Student):
    """``f(x, t) = cos(t) x - sin(t) F`` shall not change along the guided teacher's path: F moves by ``g ~ cos(t) df/dt``."""

    sampler: ClassVar[str] = "flow-renoise"

    def __init__(self, objective: ContinuousConsistency, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective
        self.updates = 0

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch; the value is about 1/2 whatever happens, since g has been normalised: watch ``tangent`` instead."""
        batch = self.batch(batch_size, generator)
        return consistency_loss(self, self.objective, module, batch, self.updates, generator)


def consistency_loss(
    student: Student,
    objective: ContinuousConsistency,
    module: nn.Module,
    batch: Batch,
    updates: int,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """``|F_theta - sg(F_theta + g / (|g| + c))|^2 / 2``, a mean over latents, with ``|g|`` the root of a mean; logs the mean ``|g|``."""
    t = angle(sample_sigma(objective.levels, len(batch.x0), generator))
    x = trig_noised(batch.x0, student.noise(batch.x0, generator), t)
    warmth = min(1.0, updates / objective.tangent_warmup)
    g = tangent(student, x, t, batch, warmth)
    size = g.square().mean((1, 2, 3), keepdim=True).sqrt()
    velocity = told_by_flow(module, x, t, batch.states, batch.mask)
    loss = gradient_loss(velocity, -g / (size + objective.normaliser)) / velocity[0].numel()
    return loss, {"tangent": size.mean()}


@torch.no_grad()
def tangent(student: Student, x: Tensor, t: Tensor, batch: Batch, warmth: float) -> Tensor:
    """``g = -cos^2(t) (F - dx/dt) - r cos(t) sin(t) (x + dF/dt)`` (B, C, h, w), with dx/dt of the guided teacher and r the warmth.

    dF/dt is the derivative along the path, ``dF/dx dx/dt + dF/dt``, by forward-mode differentiation of the student itself, which is
    not compiled. The factor ``cos(t) sin(t)`` rides on the path's direction, which keeps the derivative bounded (their section 4.2).
    """
    flow_x, sigma = to_flow(x, t), level(t)
    path = trig_velocity(x, student.guided(flow_x, sigma, batch), t)
    scale = t.cos() * t.sin()

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return told_by_flow(student.module, x, t, batch.states, batch.mask)

    with torch.autocast(x.device.type, enabled=False):  # bf16 leaves a tenth of the derivative in doubt
        here, change, *_ = torch.func.jvp(velocity, (x, t), (maps(scale) * path, scale))
    return -maps(t.cos().square()) * (here - path) - warmth * (maps(scale) * x + change)
