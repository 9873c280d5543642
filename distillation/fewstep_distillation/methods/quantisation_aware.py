"""Quantisation-aware fine-tuning: a network learns to be itself in 8 bits, on the way that its own sampler takes."""

import copy
import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fewstep.samplers import flow_sigmas
from fewstep_distillation.fake_quantisation import fake_quantise, on_grid, take_ranges, watched
from fewstep_distillation.flow import clean, euler, noised
from fewstep_distillation.student import Batch, Student, StudentConfig
from fewstep_models.checkpoint import Checkpoint

_EMPTY_CAPTIONS = 0.2
"""Of the batch, for a network that is used with guidance."""


@dataclass(frozen=True)
class QuantisationAware:
    """``teacher`` is the float network, which the student starts from and stays: sampler, steps and guidance are its own.

    ``noise`` is that of `fewstep quantize --max-noise`, ``float_layers`` are those that `int8` leaves alone besides, and ``calibration``
    batches tell the ranges of the inputs before training.
    """

    type: str = field(default="quantisation-aware", init=False)
    noise: float = 0.03
    float_layers: tuple[str, ...] = ("proj_out",)
    calibration: int = 8

    def __post_init__(self) -> None:
        """Refuse ranges of nothing."""
        if self.calibration < 1 or self.noise <= 0:
            raise ValueError(
                f"calibration and noise must be positive, found {self.calibration}, {self.noise}"
            )

    def build(self, config: StudentConfig) -> "QuantisationAwareMethod":
        """The method."""
        return QuantisationAwareMethod(self, config)


class QuantisationAwareMethod(Student):
    """``|u_8(x, sigma) - u(x, sigma)|^2`` at the levels of the sampler, x where the float network's own steps have led."""

    keeps_guidance = True

    def __init__(self, objective: QuantisationAware, config: StudentConfig) -> None:
        super().__init__(config)
        own = self.checkpoint.config.sampling.steps
        if config.steps != own:
            raise ValueError(f"a network in 8 bits keeps its {own} steps, found steps = {config.steps}")
        self.objective = objective
        fake_quantise(self.module, objective.float_layers)
        self.start = copy.deepcopy(self.module)  # a run that goes on has the ranges with which it began

    def prepare(self, device: torch.device) -> None:
        """Besides, calibrate."""
        super().prepare(device)
        self.calibrate(device)

    @torch.no_grad()
    def calibrate(self, device: torch.device) -> None:
        """Take the levels of the teacher's own sampler, and note the ranges of the inputs on its way."""
        sampling = self.checkpoint.config.sampling
        levels = flow_sigmas(sampling.steps, sampling.shift)
        self.levels = torch.tensor(levels, dtype=torch.float32, device=device)
        generator = torch.Generator(device).manual_seed(self.config.run.seed)
        start = self.start.to(device)
        with watched(start, self.objective.noise):
            for _ in range(self.objective.calibration):
                batch = self.batch(self.config.run.batch_size, generator)
                for x, sigma in self.walk(batch, sampling.steps, generator):
                    start(x, 1000 * sigma, batch.states, batch.mask)
        take_ranges(self.module, start)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch at one random step of the sampler; ``error`` is that of the velocity, relative to its size."""
        batch = self.batch(batch_size, generator)
        step = int(torch.randint(len(self.levels) - 1, (1,), generator=generator, device=self.device))
        x, sigma = self.walk(batch, step + 1, generator)[-1]
        if self.guidance != 1.0:
            batch = self.with_dropout(batch, _EMPTY_CAPTIONS, generator)
        expected = self.guided(x, sigma, batch, 1.0)
        found = module(x, 1000 * sigma, batch.states, batch.mask).float()
        loss = (found - expected).square().mean()
        return loss, {"error": (loss / expected.square().mean()).sqrt().detach()}

    @torch.no_grad()
    def walk(self, batch: Batch, count: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """The first ``count`` points (x, sigma) at which the sampler asks the float network."""
        again = self.checkpoint.config.sampling.sampler == "flow-renoise"
        x = self.noise(batch.x0, generator)
        points = []
        for level, following in zip(self.levels[:count], self.levels[1 : count + 1], strict=True):
            sigma, end = level.expand(len(x)), following.expand(len(x))
            points.append((x, sigma))
            if len(points) < count:
                u = self.guided(x, sigma, batch)
                x = (
                    noised(clean(x, u, sigma), self.noise(x, generator), end)
                    if again
                    else euler(x, u, sigma, end)
                )
        return points

    def _checkpoint(self, module: nn.Module) -> Checkpoint:
        """The teacher's, with the weights of the student on their grid."""
        own = self.checkpoint
        config = dataclasses.replace(own.config, name=self.config.name, training=self._facts())
        return Checkpoint(config, own.autoencoder, on_grid(module), own.words)
