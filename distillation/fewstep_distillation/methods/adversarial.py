"""Adversarial diffusion distillation (Sauer et al. 2023, ADD, arXiv:2311.17042; 2024, LADD, arXiv:2403.12015).

The discriminator sees the teacher's features of latents (LADD), a classifier's features of pictures (ADD), or both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewstep_distillation.critics import Discriminator, block_channels, hinge, mean, pooled, r1, tapped
from fewstep_distillation.flow import clean, maps, noised
from fewstep_distillation.picture_features import Seen, stage_channels
from fewstep_distillation.score_distillation import score_distillation_weight
from fewstep_distillation.student import Batch, Student, StudentConfig, require_parts
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma

ScoreWeighting = Literal["exponential", "sds"]


@dataclass(frozen=True)
class Adversarial:
    """``-E D(F(x_theta)) + score_weight E c(sigma) |x_theta - sg x_teacher|^2`` against a hinge discriminator with R1.

    ``layers`` are the teacher's blocks F whose outputs the heads judge, after noise of a level from ``renoise`` on real and drawn
    pictures alike. ``stages`` are those of a classifier that sees the decoded pictures (``picture_features.py``). ``weighting`` of the teacher's part: c = alpha ("exponential"), or that of score distillation ("sds"). A part
    ``at_noise`` of the pictures is drawn from noise alone, beyond the share of that step. A part ``mismatched`` of the real pictures is shown
    to the discriminator with wrong captions besides.
    """

    type: str = field(default="adversarial", init=False)
    layers: tuple[int, ...] = (1, 4, 7, 9)
    stages: tuple[int, ...] = ()
    score_weight: float = 1.0
    weighting: ScoreWeighting = "exponential"
    r1_weight: float = 1e-4
    critic_rate: float = 1.0
    at_noise: float = 0.0
    mismatched: float = 0.0
    renoise: TimestepConfig = field(default_factory=lambda: TimestepConfig(mean=-0.5, std=1.0))

    def __post_init__(self) -> None:
        """Refuse a discriminator that sees nothing and negative weights."""
        if not (self.layers or self.stages) or min(self.score_weight, self.r1_weight, self.critic_rate) < 0:
            raise ValueError(
                f"layers must name blocks or stages be given, and weights not be negative, found {self.layers}, {self.stages}, "
                f"{self.score_weight}, {self.r1_weight}, {self.critic_rate}"
            )
        if self.weighting not in ("exponential", "sds"):
            raise ValueError(f"weighting must be exponential or sds, found {self.weighting!r}")
        require_parts(at_noise=self.at_noise, mismatched=self.mismatched)

    def build(self, config: StudentConfig) -> "AdversarialMethod":
        """The method."""
        return AdversarialMethod(self, config)


class AdversarialMethod(Student):
    """The student is asked at its own levels on noised real pictures; at sigma = 1 they are noise alone."""

    sampler: ClassVar[str] = "flow-renoise"
    critic_updates = 1

    def __init__(self, objective: Adversarial, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective
        self.critic_rate = objective.critic_rate
        backbone = self.checkpoint.config.denoiser
        channels = block_channels(objective.layers, backbone) + stage_channels(objective.stages)
        self.critic: nn.Module = Discriminator(channels, backbone.text_dim)
        self.pictures = Seen(objective.stages, self.checkpoint)

    def prepare(self, device: torch.device) -> None:
        """Fetch and move what sees pictures, if anything does."""
        super().prepare(device)
        self.pictures.prepare(device, self.config.run.compile)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch at random steps of the student."""
        batch = self.batch(batch_size, generator)
        drawn = self.draw(module, batch, generator)
        adversarial = self.displeasure(drawn, batch, generator)
        score = self._score_distance(drawn, batch, generator)
        total = adversarial + self.objective.score_weight * score
        return total, {"adversarial": adversarial.detach(), "score": score.detach()}

    def displeasure(self, drawn: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        """``-E D(F(x))`` of drawn latents; the critic's parameters must be frozen."""
        sigma = sample_sigma(self.objective.renoise, len(drawn), generator)
        x = noised(drawn, self.noise(drawn, generator), sigma)
        features = self.features(x, sigma, batch) + self.seen(drawn, generator)
        return -mean(self.judge(self.critic, features, batch))

    def critic_loss(
        self, critic: nn.Module, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Hinge on real, drawn and wrongly captioned pictures at one noise level, and R1 on the features of the real ones."""
        batch = self.batch(batch_size, generator)
        with torch.no_grad():
            drawn = self.draw(module, batch, generator)
            sigma = sample_sigma(self.objective.renoise, batch_size, generator)
            noise = self.noise(drawn, generator)
            real = self.features(noised(batch.x0, noise, sigma), sigma, batch)
            wrong = self.mismatched(batch, self.objective.mismatched)
            refused = Batch(drawn, batch.states, batch.mask) + wrong
            x, sigmas = self.noised_alike(refused, noise, sigma)
            fake = self.features(x, sigmas, refused)
            seen_real, seen_drawn = self.seen(batch.x0, generator), self.seen(drawn, generator)
            real += seen_real
            fake += [  # the wrongly captioned pictures are the first of the real ones
                torch.cat([a, b[: len(wrong.x0)]]) for a, b in zip(seen_drawn, seen_real, strict=True)
            ]
        real = [feature.float().requires_grad_() for feature in real]
        logits_real = self.judge(critic, real, batch)
        loss = hinge(logits_real, self.judge(critic, fake, refused))
        penalty = r1(logits_real, real)
        return loss + self.objective.r1_weight * penalty, {
            "hinge": loss.detach(),
            "r1": penalty.detach(),
        }

    def draw(self, module: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """The student's clean latents (B, C, h, w) from a random one of its levels."""
        sigma = self.levels[self.steps_of(len(batch.x0), self.objective.at_noise, generator)]
        x = noised(batch.x0, self.noise(batch.x0, generator), sigma)
        return clean(x, module(x, 1000 * sigma, batch.states, batch.mask).float(), sigma)

    def features(self, x: Tensor, sigma: Tensor, batch: Batch) -> list[Tensor]:
        """The teacher's features of noised latents; gradients pass to the latents."""
        with tapped(self.teacher, self.objective.layers) as features, self.precision():
            self.teacher(x, 1000 * sigma, batch.states, batch.mask)
        return features

    def seen(self, latents: Tensor, generator: torch.Generator) -> list[Tensor]:
        """A classifier's features of the pictures of clean latents, if there are to be any."""
        with self.precision():
            return self.pictures(latents, generator)

    def judge(self, critic: nn.Module, features: list[Tensor], batch: Batch) -> list[Tensor]:
        """Logits (B, h, w) of every head."""
        logits: list[Tensor] = critic(features, pooled(batch.states, batch.mask))
        return logits

    def _facts(self) -> Mapping[str, object]:
        return {**super()._facts(), "layers": self.objective.layers, "stages": self.objective.stages}

    def _score_distance(self, drawn: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        """``E c(sigma) |x_theta - sg x_teacher(x_theta noised)|^2``."""
        sigma = sample_sigma(TimestepConfig("uniform"), len(drawn), generator)
        with torch.no_grad():
            x = noised(drawn, self.noise(drawn, generator), sigma)
            target = clean(x, self.guided(x, sigma, batch), sigma)
        sds = self.objective.weighting == "sds"
        weight = score_distillation_weight(sigma) if sds else 1 - sigma
        return (maps(weight) * (drawn - target).square()).mean()
