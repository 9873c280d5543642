"""Progressive distillation: the target leads where the teacher's steps went, and the weights are those of the paper."""

import itertools
from collections.abc import Callable

import pytest
import torch

from fewstep_distillation.flow import clean, euler, noised
from fewstep_distillation.methods.progressive import Progressive, ProgressiveMethod, error_weight, step_target
from fewstep_distillation.recipe import DistillationRecipe

GENERATOR = torch.Generator().manual_seed(0)
SIGMA = torch.tensor([1.0, 0.75, 0.5, 0.25], dtype=torch.float64)


def test_one_step_to_the_target_lands_on_the_point_of_two_steps() -> None:
    """In float64, for a teacher whose velocity bends with x and sigma."""
    x, direction = torch.randn(2, 4, 2, 3, 3, generator=GENERATOR, dtype=torch.float64)
    end, middle = SIGMA - 0.25, SIGMA - 0.125
    velocities = [torch.sin(x + 3 * level[:, None, None, None]) + direction for level in (SIGMA, middle)]
    reached = euler(euler(x, velocities[0], SIGMA, middle), velocities[1], middle, end)
    target = step_target(x, SIGMA, reached, end)
    velocity = (x - target) / SIGMA[:, None, None, None]  # a student that predicts the target
    torch.testing.assert_close(clean(x, velocity, SIGMA), target, atol=1e-12, rtol=0)
    torch.testing.assert_close(euler(x, velocity, SIGMA, end), reached, atol=1e-12, rtol=0)


def test_a_straight_teacher_is_its_own_target() -> None:
    x0, n = torch.randn(2, 4, 2, 3, 3, generator=GENERATOR, dtype=torch.float64)
    x, end = noised(x0, n, SIGMA), SIGMA - 0.25
    torch.testing.assert_close(step_target(x, SIGMA, noised(x0, n, end), end), x0, atol=1e-12, rtol=0)


def test_weights_are_errors_of_pictures_noises_and_velocities() -> None:
    """``max(SNR, 1)`` is the larger of both errors, ``1 + SNR`` the sum, ``1 / sigma^2`` that of the flow's velocity."""
    snr = ((1 - SIGMA) / SIGMA).square()
    assert torch.equal(error_weight(SIGMA, "truncated-snr"), torch.maximum(snr, torch.ones_like(snr)))
    assert torch.equal(error_weight(SIGMA, "snr+1"), 1 + snr)
    velocity_error = ((1.0 - 0.4) / SIGMA).square()  # clean latents 0.6 apart
    torch.testing.assert_close(error_weight(SIGMA, "flow") * 0.6**2, velocity_error)


@pytest.mark.parametrize("substeps", [1, 2, 3])
def test_walk_is_euler_of_the_guided_teacher(
    recipe: Callable[..., DistillationRecipe], substeps: int
) -> None:
    objective = Progressive(substeps=substeps)
    method = ProgressiveMethod(objective, recipe(objective))
    method.prepare(torch.device("cpu"))
    batch = method.batch(3, torch.Generator().manual_seed(0))
    x = torch.randn(batch.x0.shape, generator=torch.Generator().manual_seed(1))
    expected = x
    for here, there in itertools.pairwise(torch.linspace(1.0, 0.5, substeps + 1)):
        expected = euler(
            expected, method.guided(expected, here.expand(3), batch), here.expand(3), there.expand(3)
        )
    torch.testing.assert_close(method.walk(x, torch.ones(3), torch.full((3,), 0.5), batch), expected)


def test_a_student_that_is_its_teacher_of_one_step_has_no_loss(
    recipe: Callable[..., DistillationRecipe],
) -> None:
    method = ProgressiveMethod(Progressive(substeps=1), recipe(Progressive()))
    method.prepare(torch.device("cpu"))
    method.guidance = 1.0
    loss, _ = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    assert loss < 1e-10


@pytest.mark.parametrize("fields", [{"substeps": 0}, {"weighting": "exp"}])
def test_impossible_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Progressive(**fields)  # type: ignore[arg-type]
