"""Distribution matching distillation (Yin et al. 2024, DMD2, arXiv:2405.14867)."""

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.critics import Discriminator, block_channels, pooled, tapped
from fewstep_distillation.flow import clean, noised
from fewstep_distillation.score_distillation import gradient_loss
from fewstep_distillation.student import Batch, Student, StudentConfig, require_parts
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma
from fewstep_models.backbones import BackboneConfig


@dataclass(frozen=True)
class DistributionMatching:
    """``fake_updates`` of the fake score before each of the student; ``gan_weight`` of the heads on the fake score's features.

    A part ``at_noise`` of the student's updates goes to its first step beyond that step's share, so that it draws in one step too. A part
    ``mismatched`` of the real pictures is shown to the discriminator with wrong captions besides.
    """

    type: str = field(default="distribution-matching", init=False)
    fake_updates: int = 2
    critic_rate: float = 1.0
    layers: tuple[int, ...] = (4, 9)
    gan_weight: float = 0.01
    fake_gan_weight: float = 0.03
    at_noise: float = 0.0
    mismatched: float = 0.0
    score_levels: TimestepConfig = field(default_factory=lambda: TimestepConfig("uniform"))

    def __post_init__(self) -> None:
        """Refuse a fake score that never learns and negative weights."""
        if self.fake_updates < 1 or not self.layers or min(self.gan_weight, self.fake_gan_weight) < 0:
            raise ValueError(
                "fake_updates must be positive, layers name blocks and weights not be negative, "
                f"found {self.fake_updates}, {self.layers}, {self.gan_weight}, {self.fake_gan_weight}"
            )
        require_parts(at_noise=self.at_noise, mismatched=self.mismatched)

    def build(self, config: StudentConfig) -> "DistributionMatchingMethod":
        """The method."""
        return DistributionMatchingMethod(self, config)


class FakeScore(nn.Module):
    """The flow of the student's own pictures, with a discriminator on its features."""

    def __init__(self, denoiser: nn.Module, layers: tuple[int, ...], backbone: BackboneConfig) -> None:
        super().__init__()
        self.layers = layers
        self.denoiser = denoiser
        self.discriminator = Discriminator(block_channels(layers, backbone), backbone.text_dim)

    def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity (B, C, h, w) and logits (B, layers, h, w)."""
        with tapped(self.denoiser, self.layers) as features:
            velocity = self.denoiser(x, timestep, states, mask)
        return velocity, torch.stack(self.discriminator(features, pooled(states, mask)), 1)


class DistributionMatchingMethod(Student):
    """The student's pictures, drawn as it will draw them (backward simulation), move by ``x_fake - x_teacher`` at random noise levels."""

    sampler: ClassVar[str] = "flow-renoise"

    def __init__(self, objective: DistributionMatching, config: StudentConfig) -> None:
        super().__init__(config)
        self.objective = objective
        self.critic_updates, self.critic_rate = objective.fake_updates, objective.critic_rate
        denoiser = copy.deepcopy(self.teacher).requires_grad_(True)
        self.critic: nn.Module = FakeScore(denoiser, objective.layers, self.checkpoint.config.denoiser)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """``|x - sg(x - g)|^2 / 2`` a value with ``g = (x_fake - x_teacher) / mean |x - x_teacher|``, and the GAN's part."""
        batch = self.batch(batch_size, generator)
        drawn = self.draw(module, batch, generator)
        sigma = self._score_sigma(batch_size, generator)
        x = noised(drawn, self.noise(drawn, generator), sigma)
        fake, logits = self._told(self.critic, x, sigma, batch)
        with torch.no_grad():
            real = clean(x, self.guided(x, sigma, batch), sigma)
            scale = (drawn - real).abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
            gradient = (clean(x, fake, sigma) - real) / scale
        matching = gradient_loss(drawn, gradient) / drawn[0].numel()
        adversarial = F.softplus(-logits).mean()
        metrics = {"adversarial": adversarial.detach(), "direction": gradient.square().mean()}
        return matching + self.objective.gan_weight * adversarial, metrics

    def critic_loss(
        self, critic: nn.Module, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Flow matching on the student's pictures, and the discriminator's logistic loss on real, drawn and wrongly captioned ones."""
        batch = self.batch(batch_size, generator)
        with torch.no_grad():
            drawn = self.draw(module, batch, generator)
        sigma, noise = self._score_sigma(batch_size, generator), self.noise(drawn, generator)
        wrong = self.mismatched(batch, self.objective.mismatched)
        shown = Batch(drawn, batch.states, batch.mask) + batch + wrong
        x, sigmas = self.noised_alike(shown, noise, sigma)
        velocity, logits = self._told(critic, x, sigmas, shown)
        fake, real, refused = logits.split([batch_size, batch_size, len(wrong.x0)])
        flow = F.mse_loss(velocity[:batch_size], noise - drawn)
        gan = F.softplus(fake).mean() + F.softplus(-real).mean()
        if len(refused):
            gan = gan + F.softplus(refused).mean()
        return flow + self.objective.fake_gan_weight * gan, {"flow": flow.detach(), "gan": gan.detach()}

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

    def _score_sigma(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels within [0.02, 0.98], where both scores are known."""
        return 0.02 + 0.96 * sample_sigma(self.objective.score_levels, count, generator)

    def _told(self, critic: nn.Module, x: Tensor, sigma: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        with self.precision():
            velocity, logits = critic(x, 1000 * sigma, batch.states, batch.mask)
        return velocity.float(), logits.float()
