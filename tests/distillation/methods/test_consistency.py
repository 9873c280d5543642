"""Consistency distillation: the boundary, the distance, and who is taught by whom."""

import math
from collections.abc import Callable

import pytest
import torch

from fewstep_distillation.flow import clean
from fewstep_distillation.methods.consistency import Consistency, ConsistencyMethod, pseudo_huber
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_models.checkpoint import Checkpoint


def test_consistency_function_is_the_identity_without_noise(checkpoint: Checkpoint) -> None:
    """``|f(x, sigma) - x|`` falls in proportion to sigma, down to nothing."""
    x, states, mask = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 32), torch.ones(2, 5)

    def error(level: float) -> float:
        sigma = torch.full((2,), level)
        return float((clean(x, checkpoint.denoiser(x, 1000 * sigma, states, mask), sigma) - x).abs().max())

    assert error(0.0) == 0.0
    assert 1e-5 > error(1e-6) > 0.0
    assert error(1e-4) == pytest.approx(10 * error(1e-5), rel=0.05)


def test_pseudo_huber_is_a_square_near_zero_and_a_distance_afar() -> None:
    zero, one = torch.zeros(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    assert float(pseudo_huber(one, zero, 1e-6)) == pytest.approx(1.0, rel=1e-5)
    assert float(pseudo_huber(1e-3 * one, zero, 1.0)) == pytest.approx(0.5e-6, rel=0.1)
    assert float(pseudo_huber(one, zero, 2.0)) == pytest.approx(math.sqrt(5) - 2, rel=1e-5)
    assert float(pseudo_huber(one, one, 0.1)) == pytest.approx(0.0, abs=1e-7)


def test_the_target_has_no_gradient(recipe: Callable[..., DistillationRecipe]) -> None:
    """Where neighbours are a whole trajectory apart, the target is the teacher's one-step picture and f(., 0) adds nothing."""
    method = ConsistencyMethod(Consistency(skip=1.0), recipe(Consistency()))
    method.prepare(torch.device("cpu"))
    method.guidance = 1.0
    loss, _ = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    assert loss < 1e-6


@pytest.mark.parametrize("fields", [{"skip": 0.0}, {"huber": 0.0}])
def test_impossible_values_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"skip must lie in \(0, 1\]"):
        Consistency(**fields)
