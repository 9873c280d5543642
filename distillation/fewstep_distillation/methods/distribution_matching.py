"""Distribution matching distillation (Yin et al. 2024, DMD2, arXiv:2405.14867).

Its discriminator sees the fake score's features of noised latents, and a classifier's of pictures if it is to (``picture_features.py``).
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.critics import Discriminator, block_channels, logistic, pooled, r1, tapped
from fewstep_distillation.flow import clean, noised
from fewstep_distillation.picture_features import Seen, stage_channels
from fewstep_distillation.score_distillation import gradient_loss
from fewstep_distillation.student import Batch, Student, StudentConfig, require_parts
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma
from fewstep_models.backbones import BackboneConfig


@dataclass(frozen=True)
class DistributionMatching:
    """``fake_updates`` of the fake score before each of the student; ``gan_weight`` of the heads on the fake score's features.

    ``stages`` are those of a classifier that sees the decoded pictures, with R1 on its features of real ones.
    A part ``at_noise`` of the student's updates goes to its first step beyond that step's share, so that it draws in one step too. A part
    ``mismatched`` of the real pictures is shown to the discriminator with wrong captions besides.
    """

    type: str = field(default="distribution-matching", init=False)
    fake_updates: int = 2
    critic_rate: float = 1.0
    layers: tuple[int, ...] = (4, 9)
    stages: tuple[int, ...] = ()
    gan_weight: float = 0.01
    fake_gan_weight: float = 0.03
    r1_weight: float = 1e-4
    at_noise: float = 0.0
    mismatched: float = 0.0
    score_levels: TimestepConfig = field(default_factory=lambda: TimestepConfig("uniform"))

    def __post_init__(self) -> None:
        """Refuse a fake score that never learns and negative weights."""
        weights = self.gan_weight, self.fake_gan_weight, self.r1_weight
        if self.fake_updates < 1 or not self.layers or min(weights) < 0:
            raise ValueError(
                "fake_updates must be positive, layers name blocks and weights not be negative, "
                f"found {self.fake_updates}, {self.layers}, {weights}"
            )
        require_parts(at_noise=self.at_noise, mismatched=self.mismatched)

    def build(self, config: StudentConfig) -> "DistributionMatchingMethod":
        """The method."""
        return DistributionMatchingMethod(self, config)


class FakeScore(nn.Module):
    """The flow of the student's own pictures, with a discriminator on its features and on those of ``stages``."""

    def __init__(
        self, denoiser: nn.Module, layers: tuple[int, ...], stages: tuple[int, ...], backbone: BackboneConfig
    ) -> None:
        super().__init__()
        self.layers = layers
        self.denoiser = denoiser
        channels = block_channels(layers, backbone) + stage_channels(stages)
        self.discriminator = Discriminator(channels, backbone.text_dim)

    def forward(
        self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor, seen: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Velocity (B, C, h, w) and logits (B, h, w) of each layer and stage; ``seen`` are the stages' features."""
        with tapped(self.denoiser, self.layers) as features:
            velocity = self.denoiser(x, timestep, states, mask)
        return velocity, self.discriminator([*features, *seen], pooled(states, mask))


class DistributionMatchingMethod(Student):
    """The student's pictures, drawn as it will draw them (backward simulation), move by ``x_fake - x_teacher`` at random noise levels."""

    sampler: ClassVar[str] = "flow-renoise"

    def __init__(self, objective: DistributionMatching, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective
        self.critic_updates, self.critic_rate = objective.fake_updates, objective.critic_rate
        denoiser = copy.deepcopy(self.teacher).requires_grad_(True)
        backbone = self.checkpoint.config.denoiser
        self.critic: nn.Module = FakeScore(denoiser, objective.layers, objective.stages, backbone)
        self.pictures = Seen(objective.stages, self.checkpoint)

    def prepare(self, device: torch.device) -> None:
        """Fetch and move what sees pictures, if anything does."""
        super().prepare(device)
        self.pictures.prepare(device, self.config.run.compile)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """``|x - sg(x - g)|^2 / 2`` a value with ``g = (x_fake - x_teacher) / mean |x - x_teacher|``, and the GAN's part."""
        batch = self.batch(batch_size, generator)
        drawn = self.draw(module, batch, generator)
        sigma = self._score_sigma(batch_size, generator)
        x = noised(drawn, self.noise(drawn, generator), sigma)
        with self.precision():
            seen = self.pictures(drawn, generator)
        fake, logits = self._told(self.critic, x, sigma, batch, seen)
        with torch.no_grad():
            real = clean(x, self.guided(x, sigma, batch), sigma)
            scale = (drawn - real).abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
            gradient = (clean(x, fake, sigma) - real) / scale
        matching = gradient_loss(drawn, gradient) / drawn[0].numel()
        adversarial = logistic(logits, real=True)
        metrics = {"adversarial": adversarial.detach(), "direction": gradient.square().mean()}
        return matching + self.objective.gan_weight * adversarial, metrics

    def critic_loss(
        self, critic: nn.Module, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Flow matching on the student's pictures, and the discriminator's logistic loss on real, drawn and wrongly captioned ones."""
        objective, batch = self.objective, self.batch(batch_size, generator)
        with torch.no_grad():
            drawn = self.draw(module, batch, generator)
        sigma, noise = self._score_sigma(batch_size, generator), self.noise(drawn, generator)
        wrong = self.mismatched(batch, objective.mismatched)
        shown = Batch(drawn, batch.states, batch.mask) + batch + wrong
        parts = [batch_size, batch_size, len(wrong.x0)]
        with torch.no_grad(), self.precision():
            seen_drawn, seen_real = self.pictures(drawn, generator), self.pictures(batch.x0, generator)
        seen_real = [feature.float().requires_grad_() for feature in seen_real]
        seen = [  # the wrongly captioned pictures are the first of the real ones
            torch.cat([a, b, b[: len(wrong.x0)]]) for a, b in zip(seen_drawn, seen_real, strict=True)
        ]
        x, sigmas = self.noised_alike(shown, noise, sigma)
        velocity, logits = self._told(critic, x, sigmas, shown, seen)
        flow = F.mse_loss(velocity[:batch_size], noise - drawn)
        fake, real, refused = zip(*(of_head.split(parts) for of_head in logits), strict=True)
        gan = logistic(fake, real=False) + logistic(real, real=True)
        if len(wrong.x0):
            gan = gan + logistic(refused, real=False)
        metrics = {"flow": flow.detach(), "gan": gan.detach()}
        if seen:
            penalty = r1(real[len(objective.layers) :], seen_real)
            gan, metrics["r1"] = gan + objective.r1_weight * penalty, penalty.detach()
        return flow + objective.fake_gan_weight * gan, metrics

    def draw(self, module: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Clean latents (B, C, h, w) after a random number of the student's own steps; the last one alone has gradients."""
        count = len(batch.x0)
        last = int(self.steps_of(1, self.objective.at_noise, generator))
        x = self.noise(batch.x0, generator)
        for step in range(last + 1):
            sigma = self.levels[step].expand(count)
            with torch.set_grad_enabled(step == last and torch.is_grad_enabled()):
                drawn = clean(x, module(x, 1000 * sigma, batch.states, batch.mask).float(), sigma)
            if step < last:
                x = noised(drawn, self.noise(drawn, generator), self.levels[step + 1].expand(count))
        return drawn

    def _facts(self) -> Mapping[str, object]:
        stages = {"stages": self.objective.stages} if self.objective.stages else {}
        return {**super()._facts(), **stages}

    def _score_sigma(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels within [0.02, 0.98], where both scores are known."""
        return 0.02 + 0.96 * sample_sigma(self.objective.score_levels, count, generator)

    def _told(
        self, critic: nn.Module, x: Tensor, sigma: Tensor, batch: Batch, seen: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        with self.precision():
            velocity, logits = critic(x, 1000 * sigma, batch.states, batch.mask, seen)
        return velocity.float(), [of_head.float() for of_head in logits]
