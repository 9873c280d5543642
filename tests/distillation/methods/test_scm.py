"""Continuous-time consistency: the tangent by forward mode, its size, and where it vanishes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fewstep_distillation.flow import maps
from fewstep_distillation.methods.scm import (
    ContinuousConsistency,
    ContinuousConsistencyMethod,
    consistency_loss,
    tangent,
)
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.student import Batch
from fewstep_distillation.trigflow import angle, level, to_flow, told_by_flow, trig_noised, trig_velocity

# torch's own rules of forward-mode differentiation are compiled in a way that it calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
SIGMA = torch.tensor([0.2, 0.5, 0.8])


@pytest.fixture
def method(recipe: Callable[..., DistillationRecipe]) -> ContinuousConsistencyMethod:
    """A prepared method."""
    made = ContinuousConsistencyMethod(ContinuousConsistency(), recipe(ContinuousConsistency()))
    made.prepare(torch.device("cpu"))
    return made


@pytest.fixture
def case(method: ContinuousConsistencyMethod) -> tuple[Batch, Tensor, Tensor]:
    """Three examples at three times."""
    generator = torch.Generator().manual_seed(0)
    batch, t = method.batch(3, generator), angle(SIGMA)
    return batch, trig_noised(batch.x0, method.noise(batch.x0, generator), t), t


class _Smooth(nn.Module):
    """A velocity that bends with everything, in the precision of its input."""

    def forward(self, x: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        place = timestep[:, None, None, None] / 1000
        return torch.sin(2 * x + 5 * place) + states.mean((1, 2))[:, None, None, None] * place


def _change_of_f(
    network: nn.Module, method: ContinuousConsistencyMethod, case: tuple[Batch, Tensor, Tensor], step: float
) -> Tensor:
    """``cos(t) df/dt`` along the guided path by a finite difference of ``f = cos(t) x - sin(t) F``, in the precision of the case."""
    batch, x, t = case
    path = trig_velocity(x, method.guided(to_flow(x, t).float(), level(t).float(), batch).to(x.dtype), t)

    @torch.no_grad()
    def f(offset: float) -> Tensor:
        there, time = x + offset * path, t + offset
        u = network(to_flow(there, time), 1000 * level(time), batch.states, batch.mask)
        return maps(time.cos()) * there - maps(time.sin()) * trig_velocity(there, u, time)

    return maps(t.cos()) * (f(step) - f(-step)) / (2 * step)


def test_tangent_is_the_change_of_f_along_the_guided_path(
    method: ContinuousConsistencyMethod, case: tuple[Batch, Tensor, Tensor]
) -> None:
    batch, x, t = case
    method.module = _Smooth()
    expected = _change_of_f(_Smooth(), method, (batch, x.double(), t.double()), step=1e-5)
    found = tangent(method, x, t, batch, warmth=1.0)
    assert found.abs().max() > 0.5
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=1e-5)


def test_every_layer_of_the_denoiser_has_a_forward_mode(
    method: ContinuousConsistencyMethod, case: tuple[Batch, Tensor, Tensor]
) -> None:
    """The same for the network itself, as well as finite differences in float32 can tell."""
    expected = _change_of_f(method.module, method, case, step=2e-4)
    found = tangent(method, case[1], case[2], case[0], warmth=1.0)
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_cold_tangent_is_the_difference_to_the_guided_teacher(
    method: ContinuousConsistencyMethod, case: tuple[Batch, Tensor, Tensor]
) -> None:
    batch, x, t = case
    guided = trig_velocity(x, method.guided(to_flow(x, t), level(t), batch), t)
    with torch.no_grad():
        own = told_by_flow(method.module, x, t, batch.states, batch.mask)
    expected = -maps(t.cos().square()) * (own - guided)
    torch.testing.assert_close(tangent(method, x, t, batch, warmth=0.0), expected, atol=1e-5, rtol=1e-4)
    method.guidance = 1.0  # the student is the unguided teacher
    assert tangent(method, x, t, batch, warmth=0.0).abs().max() < 1e-5


def test_a_step_down_the_loss_moves_f_by_the_normalised_tangent(
    method: ContinuousConsistencyMethod, case: tuple[Batch, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of the loss in F is ``-g / (|g| + c)`` over the number of latents; the value lies below 1/2."""
    seen: list[Tensor] = []

    def heard(*arguments: object) -> Tensor:
        velocity = told_by_flow(*arguments)  # type: ignore[arg-type]
        if velocity.requires_grad:
            seen.append(velocity)
        return velocity

    monkeypatch.setattr("fewstep_distillation.methods.scm.told_by_flow", heard)
    loss, metrics = consistency_loss(
        method, method.objective, method.module, case[0], 10**6, torch.Generator().manual_seed(0)
    )
    (gradient,) = torch.autograd.grad(loss, seen[0])
    size = (gradient * gradient.numel()).square().mean((1, 2, 3)).sqrt()
    assert ((size < 1.0) & (size > 0.3)).all()
    assert 0.1 < float(loss.detach()) < 0.5
    assert metrics["tangent"] > 0


def test_tangent_warms_up_with_the_updates(
    method: ContinuousConsistencyMethod, case: tuple[Batch, Tensor, Tensor]
) -> None:
    def size(updates: int) -> float:
        generator = torch.Generator().manual_seed(0)
        objective = ContinuousConsistency(tangent_warmup=10)
        return float(
            consistency_loss(method, objective, method.module, case[0], updates, generator)[1]["tangent"]
        )

    assert size(0) != size(5) != size(10) == size(20)


@pytest.mark.parametrize("fields", [{"tangent_warmup": 0}, {"normaliser": 0.0}])
def test_impossible_values_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        ContinuousConsistency(**fields)  # type: ignore[arg-type]
