"""What every method of distillation shares: the frozen teacher, the student that starts as its copy, the data, the checkpoint."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from accelerate.utils import compile_regions
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.samplers import flow_sigmas
from fewstep_distillation.banks import build_banks
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.flow import noised
from fewstep_distillation.lora import adapted_denoiser, fused, save_additions
from fewstep_distillation.run_config import BankConfig, RunConfig, autocast
from fewstep_distillation.samples import save_samples
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint, SamplingDefaults, lora_file
from fewstep_models.sana import SanaConfig, SanaDenoiser


@dataclass(frozen=True)
class StudentConfig:
    """A student of ``steps`` network evaluations.

    ``teacher`` is a checkpoint folder or a zoo name, and ``start`` another one whose network the student starts from (the teacher's
    where it is empty); it may be smaller than the teacher. ``guidance`` is the teacher's scale (its own where None), which becomes a
    part of the student. ``shift`` moves the student's levels to more noise. A ``lora_rank`` > 0 trains a LoRA of that rank on the weights
    it starts from. ``positions`` gives a Sana tables of positions where it has none.
    """

    run: RunConfig
    teacher: str
    name: str
    steps: int = 4
    start: str = ""
    guidance: float | None = None
    shift: float = 1.0
    lora_rank: int = 0
    positions: bool = False
    bank: BankConfig = field(default_factory=BankConfig)

    def __post_init__(self) -> None:
        """Refuse a student that takes no step."""
        if self.steps < 1 or self.shift <= 0:
            raise ValueError(f"steps and shift must be positive, found {self.steps} and {self.shift}")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank must not be negative, found {self.lora_rank}")


def require_parts(**parts: float) -> None:
    """Refuse what is no part of a batch."""
    for name, part in parts.items():
        if not 0 <= part <= 1:
            raise ValueError(f"{name} must lie in [0, 1], found {part}")


@dataclass(frozen=True)
class Batch:
    """Clean latents (B, C, h, w), text states (B, L, D) and masks (B, L), all float32."""

    x0: Tensor
    states: Tensor
    mask: Tensor

    def __add__(self, other: "Batch") -> "Batch":
        """The examples of both."""
        pairs = ((self.x0, other.x0), (self.states, other.states), (self.mask, other.mask))
        return Batch(*(torch.cat(pair) for pair in pairs))


class Student:
    """A method without its loss. A student needs no guidance unless its method says so, and is sampled by ``sampler``."""

    sampler: ClassVar[str] = "flow-euler"
    keeps_guidance: bool = False

    def __init__(self, config: StudentConfig) -> None:
        self.config = config
        self.checkpoint = Checkpoint.load(zoo.resolve(config.teacher))
        self.dataset = EmojiDataset(Path(config.run.data))
        self.teacher: nn.Module = self.checkpoint.denoiser
        start = Checkpoint.load(zoo.resolve(config.start)) if config.start else self.checkpoint
        self.module: nn.Module
        if config.lora_rank:
            self.module = adapted_denoiser(zoo.resolve(config.start or config.teacher), config.lora_rank)
        else:
            self.module = copy.deepcopy(start.denoiser).requires_grad_(True)
        self.backbone = start.config.denoiser
        if config.positions:
            self.backbone = _positioned(self.module)
        own = self.checkpoint.config.sampling.guidance
        self.guidance = own if config.guidance is None else config.guidance

    def prepare(self, device: torch.device) -> None:
        """Encode all pictures and captions of the training split; move the teacher and the student's levels (steps + 1,)."""
        self.device = device
        levels = flow_sigmas(self.config.steps, self.config.shift)
        self.levels = torch.tensor(levels, dtype=torch.float32, device=device)
        self.teacher = self.teacher.to(device)
        if self.config.run.compile:
            self.teacher = compile_regions(self.teacher, dynamic=False)
        self.latents, self.text = build_banks(
            self.dataset,
            self.checkpoint.autoencoder,
            self.config.bank,
            self.config.run.seed,
            device,
            self.checkpoint.config.latent,
        )

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Examples drawn by their weights, each with one of its captions."""
        index, caption = self._draw(count, generator)
        return self.with_captions(self.latents.latents[index], caption)

    def captions(self, count: int, generator: torch.Generator) -> Tensor:
        """Rows (count,) of captions, drawn as in :meth:`batch`."""
        return self._draw(count, generator)[1]

    def with_captions(self, x0: Tensor, caption: Tensor) -> Batch:
        """A batch of latents (B, C, h, w) and rows (B,) of captions; row 0 is the empty caption."""
        return Batch(x0, self.text.states[caption].float(), self.text.masks[caption])

    def without_text(self, batch: Batch) -> Batch:
        """The same latents with the empty caption."""
        return self.with_captions(
            batch.x0, torch.zeros(len(batch.x0), dtype=torch.long, device=batch.x0.device)
        )

    def with_dropout(self, batch: Batch, rate: float, generator: torch.Generator) -> Batch:
        """The batch with some captions replaced by the empty one, on which guidance rests."""
        drop = torch.rand(len(batch.x0), generator=generator, device=self.device) < rate
        empty = self.without_text(batch)
        states = torch.where(drop[:, None, None], empty.states, batch.states)
        return Batch(batch.x0, states, torch.where(drop[:, None], empty.mask, batch.mask))

    def mismatched(self, batch: Batch, part: float) -> Batch:
        """A part of the pictures, each with its neighbour's caption: what a discriminator must learn to refuse (Reed et al. 2016)."""
        count = round(part * len(batch.x0))
        states, mask = batch.states.roll(1, 0)[:count], batch.mask.roll(1, 0)[:count]
        return Batch(batch.x0[:count], states, mask)

    def noised_alike(self, shown: Batch, noise: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Noised latents and levels (n,) of n examples: those of a batch of B, then others of it in its order, with its noise and levels (B,)."""
        index = torch.arange(len(shown.x0), device=self.device) % len(sigma)
        return noised(shown.x0, noise[index], sigma[index]), sigma[index]

    def steps_of(self, count: int, at_noise: float, generator: torch.Generator) -> Tensor:
        """Random steps (count,) of the student; a part ``at_noise`` of them is the first whatever the others are."""
        step = torch.randint(self.config.steps, (count,), generator=generator, device=self.device)
        coin = torch.rand(count, generator=generator, device=self.device)
        return torch.where(coin < at_noise, 0, step)

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        bank, device = self.latents, generator.device
        index = torch.multinomial(bank.weights, count, replacement=True, generator=generator)
        coin = torch.rand(count, generator=generator, device=device)
        return index, bank.first[index] + (coin * bank.count[index]).long()

    @torch.no_grad()
    def guided(self, x: Tensor, sigma: Tensor, batch: Batch, scale: float | None = None) -> Tensor:
        """The teacher's velocity (B, C, h, w) with classifier-free guidance, ``u_0 + w (u_c - u_0)``; one call of twice the batch."""
        scale = self.guidance if scale is None else scale
        with self.precision():
            return self.branches(self.teacher, x, sigma, batch, scale)[0]

    def branches(
        self, network: nn.Module, x: Tensor, sigma: Tensor, batch: Batch, scale: float
    ) -> tuple[Tensor, Tensor]:
        """A network's velocity with guidance, and that of its conditional branch; at scale 1 they are one and the other is not asked."""
        if scale == 1.0:
            velocity = network(x, 1000 * sigma, batch.states, batch.mask).float()
            return velocity, velocity
        empty = self.without_text(batch)
        states, mask = torch.cat([empty.states, batch.states]), torch.cat([empty.mask, batch.mask])
        both = network(torch.cat([x, x]), 1000 * sigma.repeat(2), states, mask).float()
        u_0, u_c = both.chunk(2)
        return u_0 + scale * (u_c - u_0), u_c

    def precision(self) -> torch.autocast:
        """Autocast as the run has it, for networks that the trainer does not wrap."""
        return autocast(self.config.run, self.device)

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Unit normal noise of the same shape."""
        return torch.randn(like.shape, generator=generator, device=like.device)

    def write(self, module: nn.Module, folder: Path) -> None:
        """A whole checkpoint whose defaults are the student's own, the LoRA by itself if there is one, and a sheet of 64 prompts."""
        self._checkpoint(module).save(folder)
        if self.config.lora_rank:
            save_additions(module, lora_file(folder, "denoiser"))
        self.sample(module, folder / "samples.png")

    @torch.no_grad()
    def sample(self, module: nn.Module, path: Path) -> None:
        """The sheet alone."""
        save_samples(self._checkpoint(module), self.dataset, path, self.config.run.seed, self.device)

    def _checkpoint(self, module: nn.Module) -> Checkpoint:
        guidance = self.guidance if self.keeps_guidance else 1.0
        sampling = SamplingDefaults(
            shift=self.config.shift, steps=self.config.steps, guidance=guidance, sampler=self.sampler
        )
        config = dataclasses.replace(
            self.checkpoint.config,
            name=self.config.name,
            denoiser=self.backbone,
            sampling=sampling,
            training=self._facts(),
        )
        return Checkpoint(config, self.checkpoint.autoencoder, fused(module), self.checkpoint.words)

    def _facts(self) -> Mapping[str, object]:
        return {
            "data_digest": self.dataset.digest,
            "method": type(self).__name__,
            "teacher": self.checkpoint.config.name,
            "teacher_guidance": self.guidance,
            **({"lora_rank": self.config.lora_rank} if self.config.lora_rank else {}),
        }


def _positioned(module: nn.Module) -> SanaConfig:
    """Give a Sana tables of positions.

    Raises:
        FewstepError: it is another network.
    """
    if not isinstance(module, SanaDenoiser):
        raise FewstepError(
            f"expected a Sana to give positions to, found {type(module).__name__}; leave out positions"
        )
    module.add_positions()
    return module.config
