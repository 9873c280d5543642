"""CFG-aware distillation: at scale 1 it is the vanilla step distillation, at others both sides are guided alike."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from fewstep_distillation.methods.cfg_aware import CFGAware, CFGAwareMethod
from fewstep_distillation.methods.progressive import Progressive, ProgressiveMethod
from fewstep_distillation.recipe import DistillationRecipe

VANILLA = CFGAware(probability=0.0, original_weight=0.0, caption_dropout=0.0)


@pytest.fixture
def method(recipe: Callable[..., DistillationRecipe]) -> CFGAwareMethod:
    """A prepared method without L_ori and dropped captions."""
    config = recipe(VANILLA)
    made = CFGAwareMethod(VANILLA, config)
    made.prepare(torch.device("cpu"))
    return made


def test_target_at_scale_one_is_the_vanilla_one(
    method: CFGAwareMethod, recipe: Callable[..., DistillationRecipe]
) -> None:
    vanilla = ProgressiveMethod(Progressive(), dataclasses.replace(recipe(Progressive()), guidance=1.0))
    vanilla.prepare(torch.device("cpu"))
    batch = method.batch(3, torch.Generator().manual_seed(0))
    x = torch.randn(batch.x0.shape, generator=torch.Generator().manual_seed(1))
    sigma, end = torch.full((3,), 0.5), torch.zeros(3)
    torch.testing.assert_close(
        method.walk(x, sigma, end, batch, 1.0), vanilla.walk(x, sigma, end, batch), atol=0, rtol=0
    )
    unguided, conditional = method.branches(method.module, x, sigma, batch, 1.0)
    assert torch.equal(unguided, conditional)
    nearly, _ = method.branches(method.module, x, sigma, batch, 1.0 + 1e-6)
    torch.testing.assert_close(nearly, unguided, atol=1e-4, rtol=0)


def test_student_is_guided_as_the_teacher(method: CFGAwareMethod) -> None:
    """The student starts as its teacher, so at any scale both say the same."""
    batch = method.batch(3, torch.Generator().manual_seed(0))
    x, sigma = torch.randn(batch.x0.shape), torch.full((3,), 0.7)
    guided, _ = method.branches(method.module, x, sigma, batch, 4.0)
    torch.testing.assert_close(guided, method.guided(x, sigma, batch, 4.0))
    assert not torch.allclose(guided, method.guided(x, sigma, batch, 1.0), atol=1e-2)


def test_original_loss_is_flow_matching(method: CFGAwareMethod) -> None:
    """With the weight 1 the loss grows by what the metric says."""
    plain, metrics = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    method.cfg = dataclasses.replace(VANILLA, original_weight=1.0)
    total, _ = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(total - plain, metrics["original"])


@pytest.mark.parametrize("fields", [{"probability": 1.5}, {"caption_dropout": -0.1}, {"scales": (3.0, 2.0)}])
def test_impossible_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        CFGAware(**fields)  # type: ignore[arg-type]
