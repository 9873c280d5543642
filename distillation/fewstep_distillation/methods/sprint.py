"""SANA-Sprint's hybrid (Chen et al. 2025, arXiv:2503.09641): continuous-time consistency, and a discriminator against its blur."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fewstep_distillation.methods.adversarial import Adversarial, AdversarialMethod
from fewstep_distillation.methods.scm import ContinuousConsistency, consistency_loss
from fewstep_distillation.student import StudentConfig
from fewstep_distillation.timesteps import TimestepConfig


@dataclass(frozen=True)
class Sprint:
    """``L_sCM + adversarial_weight L_adv``; the fields are those of both parts (``methods/scm.py``, ``methods/adversarial.py``)."""

    type: str = field(default="sprint", init=False)
    adversarial_weight: float = 0.5
    levels: TimestepConfig = field(default_factory=lambda: TimestepConfig(mean=0.4, std=1.6))
    tangent_warmup: int = 500
    layers: tuple[int, ...] = (1, 4, 7, 9)
    r1_weight: float = 1e-4
    critic_rate: float = 1.0
    at_noise: float = 0.0
    renoise: TimestepConfig = field(default_factory=lambda: TimestepConfig(mean=-0.5, std=1.0))

    def __post_init__(self) -> None:
        """Refuse a negative weight, and what either part refuses."""
        if self.adversarial_weight < 0:
            raise ValueError(f"adversarial_weight must not be negative, found {self.adversarial_weight}")
        _ = self.consistency, self.adversarial

    @property
    def consistency(self) -> ContinuousConsistency:
        """The part that follows the teacher's path."""
        return ContinuousConsistency(self.levels, self.tangent_warmup)

    @property
    def adversarial(self) -> Adversarial:
        """The part that looks real; the teacher's score has no say in it."""
        return Adversarial(
            self.layers,
            score_weight=0.0,
            r1_weight=self.r1_weight,
            critic_rate=self.critic_rate,
            at_noise=self.at_noise,
            renoise=self.renoise,
        )

    def build(self, config: StudentConfig) -> "SprintMethod":
        """The method."""
        return SprintMethod(self, config)


class SprintMethod(AdversarialMethod):
    """Two batches an update: one along the path at all levels, one of pictures from the student's own levels for the discriminator."""

    def __init__(self, objective: Sprint, config: StudentConfig) -> None:
        super().__init__(objective.adversarial, config)
        self.sprint, self.updates = objective, 0

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        followed, metrics = consistency_loss(
            self,
            self.sprint.consistency,
            module,
            self.batch(batch_size, generator),
            self.updates,
            generator,
        )
        batch = self.batch(batch_size, generator)
        adversarial = self.displeasure(self.draw(module, batch, generator), batch, generator)
        total = followed + self.sprint.adversarial_weight * adversarial
        return total, {**metrics, "adversarial": adversarial.detach()}
