"""One-step distillation: the student is asked at sigma = 1 for the picture that the teacher made of the noise."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fewstep_distillation.methods.one_step import OneStep, OneStepMethod
from fewstep_distillation.recipe import DistillationRecipe


class _Knows(nn.Module):
    """A velocity network that looks its picture up among the pairs."""

    def __init__(self, method: OneStepMethod) -> None:
        super().__init__()
        self.pairs = method.pairs

    def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        assert (timestep == 1000).all()
        index = (self.pairs.noise.float()[None] == x[:, None]).all((2, 3, 4)).int().argmax(1)
        return x - self.pairs.latents[index].float()


def test_only_the_teachers_pictures_have_no_loss(recipe: Callable[..., DistillationRecipe]) -> None:
    config = recipe(OneStep(pairs=4, teacher_steps=2), steps=1)
    method = OneStepMethod(OneStep(pairs=4, teacher_steps=2), config)
    method.prepare(torch.device("cpu"))
    known, _ = method.loss(_Knows(method), 8, torch.Generator().manual_seed(0))
    teachers, _ = method.loss(method.teacher, 8, torch.Generator().manual_seed(0))
    assert known < 1e-12
    assert teachers > 1e-3


def test_students_of_more_steps_are_refused(recipe: Callable[..., DistillationRecipe]) -> None:
    with pytest.raises(ValueError, match="students of 1 step, found steps = 2"):
        OneStep().build(recipe(OneStep(), steps=2))
    with pytest.raises(ValueError, match="must be positive"):
        OneStep(pairs=0)
