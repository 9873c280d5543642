"""Reflow: the loss of lines between pairs, and how straight a field is."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fewstep_distillation.methods.reflow import Reflow, ReflowMethod, straightness
from fewstep_distillation.recipe import DistillationRecipe


class _Field(nn.Module):
    """Velocity ``1 + bend sigma`` everywhere."""

    def __init__(self, bend: float) -> None:
        super().__init__()
        self.bend = bend

    def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        return torch.ones_like(x) + self.bend * timestep[:, None, None, None] / 1000


@pytest.fixture
def method(recipe: Callable[..., DistillationRecipe]) -> ReflowMethod:
    """Eight pairs of three teacher's steps."""
    made = ReflowMethod(Reflow(pairs=8, teacher_steps=3), recipe(Reflow()))
    made.prepare(torch.device("cpu"))
    return made


def test_a_straight_field_is_straight(method: ReflowMethod) -> None:
    assert straightness(method, _Field(0.0), count=4, steps=5, seed=0) < 1e-12


def test_a_bent_field_has_its_variance(method: ReflowMethod) -> None:
    """Euler's velocities are 1 + bend k/5 for k = 1 .. 5, with the variance bend^2 2/25."""
    bent = straightness(method, _Field(3.0), count=4, steps=5, seed=0)
    assert bent == pytest.approx(9 * 2 / 25, rel=1e-4)


def test_loss_is_that_of_the_lines_between_pairs(method: ReflowMethod) -> None:
    generator = torch.Generator().manual_seed(0)
    loss, _ = method.loss(_Field(0.0), 4, generator)
    noise, batch = method.pairs.draw(method, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, (noise - batch.x0 - 1).square().mean())


def test_a_part_of_the_levels_lies_at_noise(method: ReflowMethod) -> None:
    asked: list[Tensor] = []

    class Listens(_Field):
        def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
            asked.append(timestep)
            return super().forward(x, timestep, states, mask)

    method.objective = Reflow(pairs=8, at_noise=0.5)
    method.loss(Listens(0.0), 200, torch.Generator().manual_seed(0))
    assert 70 < (asked[0] == 1000).sum() < 130
    with pytest.raises(ValueError, match=r"at_noise in \[0, 1\]"):
        Reflow(at_noise=2.0)
