"""Noise and the pictures that a teacher's solver makes of it: the data of one-step distillation and of reflow."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.samplers import flow_sigmas
from fewstep_distillation.flow import euler
from fewstep_distillation.student import Batch, Student


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


@torch.no_grad()
def build_pairs(student: Student, count: int, steps: int, seed: int, batch_size: int) -> PairBank:
    """``count`` pairs by ``steps`` Euler steps of the guided teacher, in batches of one size; deterministic in the seed."""
    generator = torch.Generator(student.device).manual_seed(seed)
    levels = torch.tensor(flow_sigmas(steps, 1.0), dtype=torch.float32, device=student.device)
    noises, latents, captions = [], [], []
    for _ in range(0, count, batch_size):
        caption = student.captions(batch_size, generator)
        noise = student.noise(student.latents.latents[:1].expand(batch_size, -1, -1, -1), generator)
        batch, x = student.with_captions(noise, caption), noise
        for here, there in itertools.pairwise(levels):
            sigma = here.expand(batch_size)
            x = euler(x, student.guided(x, sigma, batch), sigma, there.expand(batch_size))
        noises.append(noise.half())
        latents.append(x.half())
        captions.append(caption)
    return PairBank(*(torch.cat(parts)[:count] for parts in (noises, latents, captions)))
