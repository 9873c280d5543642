"""TrigFlow told by a flow: levels, latents and velocities are the same pictures at another scale."""

import math

import torch
from torch import Tensor, nn

from fewstep_distillation.flow import clean, maps, noised
from fewstep_distillation.trigflow import angle, level, to_flow, told_by_flow, trig_noised, trig_velocity

GENERATOR = torch.Generator().manual_seed(0)
X0, N = torch.randn(2, 5, 2, 3, 3, generator=GENERATOR, dtype=torch.float64)
SIGMA = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
T = angle(SIGMA)


def test_angle_and_level_are_inverse_and_reach_both_ends() -> None:
    torch.testing.assert_close(level(T), SIGMA, atol=1e-15, rtol=0)
    assert (float(T[0]), float(T[-1])) == (0.0, math.pi / 2)
    torch.testing.assert_close(T[2], torch.tensor(math.pi / 4, dtype=torch.float64))


def test_latents_are_those_of_the_flow() -> None:
    torch.testing.assert_close(to_flow(trig_noised(X0, N, T), T), noised(X0, N, SIGMA), atol=1e-14, rtol=0)


def test_the_true_velocity_is_the_true_velocity() -> None:
    """``u = n - x0`` becomes ``F = cos(t) n - sin(t) x0``."""
    expected = maps(T.cos()) * N - maps(T.sin()) * X0
    torch.testing.assert_close(trig_velocity(trig_noised(X0, N, T), N - X0, T), expected, atol=1e-14, rtol=0)


def test_both_take_the_same_for_the_clean_latents() -> None:
    """``cos(t) x - sin(t) F = x_flow - sigma u`` for any velocity."""
    x, u = trig_noised(X0, N, T), torch.sin(3 * X0)
    trig = maps(T.cos()) * x - maps(T.sin()) * trig_velocity(x, u, T)
    torch.testing.assert_close(trig, clean(to_flow(x, T), u, SIGMA), atol=1e-14, rtol=0)


def test_network_is_asked_as_a_flow_network() -> None:
    class Knows(nn.Module):
        def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
            torch.testing.assert_close(x, noised(X0, N, SIGMA).float(), atol=1e-6, rtol=0)
            torch.testing.assert_close(timestep, 1000 * SIGMA.float(), atol=1e-3, rtol=0)
            velocity: Tensor = N - X0
            return velocity.float()

    x, t = trig_noised(X0, N, T).float(), T.float()
    expected = maps(T.cos()) * N - maps(T.sin()) * X0
    torch.testing.assert_close(told_by_flow(Knows(), x, t, x, x), expected.float(), atol=1e-6, rtol=0)
