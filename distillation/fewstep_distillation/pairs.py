"""Noise and the pictures that a teacher's solver makes of it: the data of one-step distillation and of reflow."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fewstep.samplers import flow_sigmas
from fewstep_distillation.flow import integrate
from fewstep_distillation.student import Batch, Student, StudentConfig


@dataclass(frozen=True)
class PairBank:
    """Noise and latents (M, C, h, w) float16, with the captions (M,) they were drawn for."""

    noise: Tensor
    latents: Tensor
    caption: Tensor

    def draw(self, student: Student, count: int, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Noise (count, C, h, w) and the batch whose ``x0`` the teacher made of it."""
        index = torch.randint(len(self.noise), (count,), generator=generator, device=self.noise.device)
        return self.noise[index].float(), student.with_captions(
            self.latents[index].float(), self.caption[index]
        )


class PairedStudent(Student):
    """A method whose data are pairs of its teacher's, made before the first step."""

    def __init__(self, pairs: int, teacher_steps: int, config: StudentConfig) -> None:
        super().__init__(config)
        self._count, self._teacher_steps = pairs, teacher_steps
        self.pairs: PairBank

    def prepare(self, device: torch.device) -> None:
        """The banks, and the pairs made of them."""
        super().prepare(device)
        run = self.config.run
        self.pairs = build_pairs(self, self._count, self._teacher_steps, run.seed, run.batch_size)


@torch.no_grad()
def build_pairs(student: Student, count: int, steps: int, seed: int, batch_size: int) -> PairBank:
    """``count`` pairs by ``steps`` Euler steps of the guided teacher, in batches of one size; deterministic in the seed."""
    generator = torch.Generator(student.device).manual_seed(seed)
    levels = even_levels(steps, batch_size, student.device)
    noises, latents, captions = [], [], []
    for _ in range(0, count, batch_size):
        caption = student.captions(batch_size, generator)
        noise = student.noise(student.latents.latents[:1].expand(batch_size, -1, -1, -1), generator)
        batch = student.with_captions(noise, caption)
        x = integrate(partial(student.guided, batch=batch), noise, levels)
        noises.append(noise.half())
        latents.append(x.half())
        captions.append(caption)
    return PairBank(*(torch.cat(parts)[:count] for parts in (noises, latents, captions)))


def even_levels(steps: int, batch_size: int, device: torch.device) -> list[Tensor]:
    """Levels (B,) evenly from 1 to 0, one more than steps."""
    levels = torch.tensor(flow_sigmas(steps, 1.0), dtype=torch.float32, device=device)
    return [level.expand(batch_size) for level in levels]
