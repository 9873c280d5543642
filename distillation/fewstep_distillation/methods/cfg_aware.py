"""CFG-aware step distillation (Li et al. 2023, SnapFusion, arXiv:2306.00980): the student is compared after its own guidance."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.flow import clean, maps, noised
from fewstep_distillation.methods.progressive import (
    Progressive,
    ProgressiveMethod,
    Weighting,
    error_weight,
    step_target,
)
from fewstep_distillation.student import StudentConfig


@dataclass(frozen=True)
class CFGAware:
    """``L_dstl + gamma L_ori``: a part ``probability`` of the batches compares guided outputs at a scale drawn from ``scales``.

    The other batches are plain step distillation at scale 1 with captions dropped at the rate ``caption_dropout``; ``L_ori`` is the
    flow-matching loss, weighted by ``original_weight``. The student still wants guidance when it is sampled.
    """

    type: str = field(default="cfg-aware", init=False)
    substeps: int = 2
    weighting: Weighting = "flow"
    probability: float = 0.5
    scales: tuple[float, float] = (2.0, 6.0)
    original_weight: float = 0.1
    caption_dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no probability and an empty range."""
        if not 0 <= self.probability <= 1 or not 0 <= self.caption_dropout <= 1:
            raise ValueError(
                f"probability and caption_dropout must lie in [0, 1], found {self.probability} and {self.caption_dropout}"
            )
        if not 1 <= self.scales[0] <= self.scales[1]:
            raise ValueError(f"scales must rise from at least 1, found {self.scales}")

    def build(self, config: StudentConfig) -> "CFGAwareMethod":
        """The method."""
        return CFGAwareMethod(self, config)


class CFGAwareMethod(ProgressiveMethod):
    """The student's two branches are combined as the teacher's are, ``u = u_0 + w (u_c - u_0)``, before the loss is taken."""

    keeps_guidance = True

    def __init__(self, objective: CFGAware, config: StudentConfig) -> None:
        super().__init__(Progressive(substeps=objective.substeps, weighting=objective.weighting), config)
        self.cfg = objective

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch at random steps of the student, guided or not as a coin falls."""
        cfg, batch = self.cfg, self.batch(batch_size, generator)
        coins = torch.rand(2, generator=generator, device=self.device).tolist()
        guided = coins[0] < cfg.probability
        scale = cfg.scales[0] + coins[1] * (cfg.scales[1] - cfg.scales[0]) if guided else 1.0
        if not guided:
            batch = self.with_dropout(batch, cfg.caption_dropout, generator)
        step = torch.randint(self.config.steps, (batch_size,), generator=generator, device=self.device)
        sigma, end = self.levels[step], self.levels[step + 1]
        noise = self.noise(batch.x0, generator)
        x = noised(batch.x0, noise, sigma)
        target = step_target(x, sigma, self.walk(x, sigma, end, batch, scale), end)
        velocity, conditional = self.branches(module, x, sigma, batch, scale)
        error = (clean(x, velocity, sigma) - target).square()
        distilled = (maps(error_weight(sigma, cfg.weighting)) * error).mean()
        original = F.mse_loss(conditional, noise - batch.x0)
        return distilled + cfg.original_weight * original, {"original": original.detach()}
