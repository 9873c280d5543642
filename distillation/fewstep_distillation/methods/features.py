"""Feature-level knowledge distillation to a smaller network (Kim et al. 2023, BK-SDM, arXiv:2305.15798)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.critics import tapped
from fewstep_distillation.flow import noised
from fewstep_distillation.student import Student, StudentConfig
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma
from fewstep_models.backbones import BackboneConfig
from fewstep_models.block_removal import shortened, shortened_config
from fewstep_models.sana import SanaConfig


@dataclass(frozen=True)
class Features:
    """``task_weight L_task + output_weight L_out + feature_weight L_feat``, and captions dropped at the rate ``caption_dropout`` for guidance.

    ``guided``: the outputs are the teacher's with guidance, and the student needs none (Meng et al. 2022, arXiv:2210.03142). Guidance would
    make a small network's errors several times as large.

    The outputs of the student's ``blocks``, through a linear map each, are compared with those of the teacher's ``teacher_blocks``. The student is
    a ``model`` of random weights, or has the blocks ``kept`` of the teacher, where there are any.
    """

    type: str = field(default="features", init=False)
    model: BackboneConfig = field(default_factory=lambda: SanaConfig(width=192, depth=6))
    kept: tuple[int, ...] = ()
    blocks: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    teacher_blocks: tuple[int, ...] = (1, 3, 5, 6, 8, 9)
    guided: bool = False
    task_weight: float = 1.0
    output_weight: float = 1.0
    feature_weight: float = 1.0
    caption_dropout: float = 0.1
    levels: TimestepConfig = field(default_factory=TimestepConfig)

    def __post_init__(self) -> None:
        """Refuse blocks without a partner and blocks that the small network has not."""
        depth = len(self.kept) or getattr(self.model, "depth", 0)
        if len(self.blocks) != len(self.teacher_blocks) or not all(0 <= b < depth for b in self.blocks):
            raise ValueError(
                f"blocks must be some of the student's {depth}, one for each of teacher_blocks, found {self.blocks} and {self.teacher_blocks}"
            )
        if not 0 <= self.caption_dropout <= 1:
            raise ValueError(f"caption_dropout must lie in [0, 1], found {self.caption_dropout}")

    def build(self, config: StudentConfig) -> "FeaturesMethod":
        """The method."""
        return FeaturesMethod(self, config)


class FeatureStudent(nn.Module):
    """A denoiser with linear maps from its features to those of a teacher, which only training needs."""

    def __init__(self, denoiser: nn.Module, blocks: Sequence[int], width: int, teacher_width: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.denoiser = denoiser
        self.maps = nn.ModuleList(nn.Conv2d(width, teacher_width, 1) for _ in blocks)

    def forward(
        self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Velocity (B, C, h, w) and features (B, teacher's width, h, w)."""
        with tapped(self.denoiser, self.blocks) as features:
            velocity = self.denoiser(x, timestep, states, mask)
        return velocity, [
            to_teacher(feature) for to_teacher, feature in zip(self.maps, features, strict=True)
        ]


class FeaturesMethod(Student):
    """``|u_S - (n - x0)|^2``, ``|u_S - u_T|^2`` and, a mean over the blocks, ``|A f_S - f_T|^2 / |f_T|^2`` at the same noised latents.

    The student starts from random weights, from some of the teacher's blocks, or from the weights of ``start``. It takes its teacher's solver,
    and wants guidance as its teacher does unless that is what it learns.
    """

    sampler: ClassVar[str] = "flow-dpm++2m"

    def __init__(self, objective: Features, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective
        self.keeps_guidance = not objective.guided
        if objective.kept and not config.start:
            self.backbone = shortened_config(self.backbone, objective.kept)
            self.module = shortened(self.module, objective.kept)
        elif not config.start:
            self.module, self.backbone = objective.model.build(), objective.model
        width, teacher_width = (
            int(getattr(model, "width", 0)) for model in (self.backbone, self.checkpoint.config.denoiser)
        )
        self.module = FeatureStudent(self.module, objective.blocks, width, teacher_width)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch."""
        objective = self.objective
        batch = self.with_dropout(self.batch(batch_size, generator), objective.caption_dropout, generator)
        sigma, noise = sample_sigma(objective.levels, batch_size, generator), self.noise(batch.x0, generator)
        x = noised(batch.x0, noise, sigma)
        scale = self.guidance if objective.guided else 1.0
        with torch.no_grad(), self.precision(), tapped(self.teacher, objective.teacher_blocks) as taught:
            told, _ = self.branches(self.teacher, x, sigma, batch, scale)
        taught = [
            feature[-batch_size:] for feature in taught
        ]  # those of the captions, the last half under guidance
        velocity, features = module(x, 1000 * sigma, batch.states, batch.mask)
        task = F.mse_loss(velocity.float(), noise - batch.x0)
        output = F.mse_loss(velocity.float(), told)
        distance = torch.stack([relative(a, b) for a, b in zip(features, taught, strict=True)]).mean()
        total = (
            objective.task_weight * task
            + objective.output_weight * output
            + objective.feature_weight * distance
        )
        return total, {"task": task.detach(), "output": output.detach(), "features": distance.detach()}

    def write(self, module: nn.Module, folder: Path) -> None:
        """A checkpoint of the small denoiser alone."""
        assert isinstance(module, FeatureStudent)
        super().write(module.denoiser, folder)


def relative(features: Tensor, wanted: Tensor) -> Tensor:
    """``mean |a - b|^2 / mean |b|^2``: blocks differ in scale by orders of magnitude."""
    wanted = wanted.float()
    return F.mse_loss(features.float(), wanted) / wanted.square().mean().clamp(min=1e-6)
