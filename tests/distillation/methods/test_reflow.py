"""Reflow: the loss of lines between pairs, and how straight a field is."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fewstep_distillation.flow import maps
from fewstep_distillation.methods.reflow import Reflow, ReflowMethod, straightness
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_models.checkpoint import read_config

_NOISE = torch.randn(4, 8, 2, 2, generator=torch.Generator().manual_seed(0))


class _Field(nn.Module):
    """Velocity 1 everywhere."""

    def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        return torch.ones_like(x)


@pytest.fixture
def method(recipe: Callable[..., DistillationRecipe]) -> ReflowMethod:
    """Eight pairs of three teacher's steps."""
    made = ReflowMethod(Reflow(pairs=8, teacher_steps=3), recipe(Reflow()))
    made.prepare(torch.device("cpu"))
    return made


def test_a_straight_field_is_straight() -> None:
    assert straightness(lambda x, sigma: torch.ones_like(x), _NOISE, steps=5) < 1e-12


def test_a_bent_field_has_its_variance() -> None:
    """Euler's velocities are 1 + 3 k/5 for k = 1 .. 5, with the variance 9 * 2/25."""
    bent = straightness(lambda x, sigma: torch.ones_like(x) + 3 * maps(sigma), _NOISE, steps=5)
    assert bent == pytest.approx(9 * 2 / 25, rel=1e-4)


def test_the_checkpoint_says_how_straight_both_flows_are(method: ReflowMethod, tmp_path: Path) -> None:
    method.module.requires_grad_(False).eval()
    method.write(method.module, tmp_path)
    found = read_config(tmp_path).training["straightness"]
    assert isinstance(found, dict) and set(found) == {"teacher", "student"}
    assert all(0 < value < 10 for value in found.values())


def test_loss_is_that_of_the_lines_between_pairs(method: ReflowMethod) -> None:
    generator = torch.Generator().manual_seed(0)
    loss, _ = method.loss(_Field(), 4, generator)
    noise, batch = method.pairs.draw(method, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, (noise - batch.x0 - 1).square().mean())


def test_a_part_of_the_levels_lies_at_noise(method: ReflowMethod) -> None:
    asked: list[Tensor] = []

    class Listens(_Field):
        def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
            asked.append(timestep)
            return super().forward(x, timestep, states, mask)

    method.objective = Reflow(pairs=8, at_noise=0.5)
    method.loss(Listens(), 200, torch.Generator().manual_seed(0))
    assert 70 < (asked[0] == 1000).sum() < 130
    with pytest.raises(ValueError, match=r"at_noise in \[0, 1\]"):
        Reflow(at_noise=2.0)
