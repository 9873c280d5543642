"""SANA-Sprint is the sum of its parts."""

from collections.abc import Callable

import pytest
import torch

from fewstep_distillation.methods.scm import consistency_loss
from fewstep_distillation.methods.sprint import Sprint, SprintMethod
from fewstep_distillation.recipe import DistillationRecipe

# torch's own rules of forward-mode differentiation are compiled in a way that it calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
OBJECTIVE = Sprint(layers=(0, 1), adversarial_weight=0.25)


def test_loss_is_the_weighted_sum(recipe: Callable[..., DistillationRecipe]) -> None:
    method = SprintMethod(OBJECTIVE, recipe(OBJECTIVE))
    method.prepare(torch.device("cpu"))
    total, metrics = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    batch = method.batch(4, generator)
    followed, _ = consistency_loss(method, OBJECTIVE.consistency, method.module, batch, 0, generator)
    batch = method.batch(4, generator)
    adversarial = method.displeasure(method.draw(method.module, batch, generator), batch, generator)
    torch.testing.assert_close(total, followed + 0.25 * adversarial)
    torch.testing.assert_close(metrics["adversarial"], adversarial.detach())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adversarial_weight": -1.0}, "adversarial_weight must not be negative"),
        ({"tangent_warmup": 0}, "tangent_warmup and normaliser must be positive"),
        ({"layers": ()}, "layers must name blocks"),
    ],
)
def test_impossible_values_of_either_part_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sprint(**fields)  # type: ignore[arg-type]
