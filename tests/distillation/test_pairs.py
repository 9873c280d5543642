"""Pairs of noise and picture: Euler steps of the guided teacher, deterministic in the seed."""

import itertools
from collections.abc import Callable

import torch

from fewstep_distillation.flow import euler
from fewstep_distillation.methods.one_step import OneStep
from fewstep_distillation.pairs import build_pairs
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.student import Student


def test_pairs_are_where_the_guided_teacher_leads(recipe: Callable[..., DistillationRecipe]) -> None:
    student = Student(recipe(OneStep(), steps=1))
    student.prepare(torch.device("cpu"))
    pairs = build_pairs(student, count=5, steps=3, seed=7, batch_size=2)
    assert [len(part) for part in (pairs.noise, pairs.latents, pairs.caption)] == [5, 5, 5]
    x = pairs.noise.float()
    batch = student.with_captions(x, pairs.caption)
    for here, there in itertools.pairwise(torch.linspace(1, 0, 4)):
        sigma = here.expand(5)
        x = euler(x, student.guided(x, sigma, batch), sigma, there.expand(5))
    torch.testing.assert_close(pairs.latents.float(), x, atol=2e-2, rtol=1e-2)  # the bank is FP16
    again = build_pairs(student, count=5, steps=3, seed=7, batch_size=2)
    assert torch.equal(again.latents, pairs.latents)
    other = build_pairs(student, count=5, steps=3, seed=8, batch_size=2)
    assert not torch.equal(other.noise, pairs.noise)


def test_drawn_pairs_belong_together(recipe: Callable[..., DistillationRecipe]) -> None:
    student = Student(recipe(OneStep(), steps=1))
    student.prepare(torch.device("cpu"))
    pairs = build_pairs(student, count=6, steps=1, seed=0, batch_size=6)
    noise, batch = pairs.draw(student, 4, torch.Generator().manual_seed(0))
    for row in range(4):
        (index,) = (pairs.noise.float() == noise[row]).all((1, 2, 3)).nonzero()
        assert torch.equal(batch.x0[row], pairs.latents[index[0]].float())
        assert torch.equal(batch.states[row], student.text.states[pairs.caption[index[0]]].float())
