"""Distribution matching: the direction between two scores, and pictures drawn as the student draws them."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fewstep_distillation.flow import clean, noised
from fewstep_distillation.methods.distribution_matching import (
    DistributionMatching,
    DistributionMatchingMethod,
)
from fewstep_distillation.mobilenet import MobileNetV2
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.student import Batch

OBJECTIVE = DistributionMatching(layers=(1,), gan_weight=0.0)


@pytest.fixture
def method(recipe: Callable[..., DistillationRecipe]) -> DistributionMatchingMethod:
    """A prepared method of three steps without the adversarial part."""
    made = DistributionMatchingMethod(OBJECTIVE, recipe(OBJECTIVE, steps=3))
    made.prepare(torch.device("cpu"))
    made.critic.requires_grad_(False)
    return made


def test_equal_scores_leave_the_student_alone(method: DistributionMatchingMethod) -> None:
    """The fake score starts as the teacher: without guidance they agree."""
    method.guidance = 1.0
    loss, _ = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    assert loss < 1e-8
    assert max(float(p.grad.abs().max()) for p in method.module.parameters() if p.grad is not None) < 1e-5


def test_pictures_move_from_the_fake_score_to_the_guided_one(method: DistributionMatchingMethod) -> None:
    """The gradient in the drawn latents is ``(x_fake - x_teacher) / mean |x - x_teacher|``, over the size of the batch."""
    seen: list[torch.Tensor] = []
    draw = method.draw

    def drawn(module: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        seen.append(draw(module, batch, generator).detach().requires_grad_())
        return seen[-1]

    method.draw = drawn  # type: ignore[method-assign]
    loss, _ = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(loss, seen[0])
    generator = torch.Generator().manual_seed(0)
    batch = method.batch(4, generator)
    x = draw(method.module, batch, generator).detach()
    sigma = method._score_sigma(4, generator)
    there = noised(x, method.noise(x, generator), sigma)
    fake = clean(there, method.teacher(there, 1000 * sigma, batch.states, batch.mask), sigma)
    real = clean(there, method.guided(there, sigma, batch), sigma)
    scale = (x - real).abs().mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(gradient, (fake - real) / scale / x.numel(), atol=1e-6, rtol=1e-3)


def test_backward_simulation_asks_at_the_students_levels(method: DistributionMatchingMethod) -> None:
    """The first call is noise at sigma = 1, and the last one alone has gradients."""
    asked: list[tuple[float, bool]] = []
    method.module.register_forward_hook(
        lambda _, inputs, output: asked.append((float(inputs[1][0]), output.requires_grad))
    )
    lengths = set()
    for seed in range(20):
        asked.clear()
        batch = method.batch(2, torch.Generator().manual_seed(seed))
        assert method.draw(method.module, batch, torch.Generator().manual_seed(seed)).requires_grad
        levels = [1000.0, 2000 / 3, 1000 / 3][: len(asked)]
        assert [level for level, _ in asked] == pytest.approx(levels)
        assert [grad for _, grad in asked] == [False] * (len(asked) - 1) + [True]
        lengths.add(len(asked))
    assert lengths == {1, 2, 3}


def test_fake_score_learns_the_flow_of_drawn_pictures(method: DistributionMatchingMethod) -> None:
    method.critic.requires_grad_(True)
    optimizer = torch.optim.Adam(method.critic.parameters(), lr=2e-3)

    def step(count: int, seed: int) -> tuple[torch.Tensor, float]:
        generator = torch.Generator().manual_seed(seed)
        loss, metrics = method.critic_loss(method.critic, method.module, count, generator)
        return loss, float(metrics["flow"])

    _, before = step(64, seed=100)
    for seed in range(30):
        loss, _ = step(8, seed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert step(64, seed=100)[1] < 0.95 * before
    assert all(p.grad is None for p in method.module.parameters())


@pytest.mark.parametrize("fields", [{"fake_updates": 0}, {"layers": ()}, {"gan_weight": -1.0}])
def test_impossible_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="fake_updates must be positive"):
        DistributionMatching(**fields)  # type: ignore[arg-type]


def test_discriminator_may_see_pictures(
    recipe: Callable[..., DistillationRecipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the fake score's features: every head learns, the flow's part is as it was, and what they say reaches the student."""
    torch.manual_seed(0)
    network = MobileNetV2((0, 1)).eval().requires_grad_(False)
    monkeypatch.setattr(MobileNetV2, "from_pretrained", lambda stages: network)
    objective = DistributionMatching(layers=(1,), stages=(0, 1), gan_weight=1.0, mismatched=0.5)
    made = DistributionMatchingMethod(objective, recipe(objective))
    made.prepare(torch.device("cpu"))
    made.guidance = 1.0  # the scores agree, so that only the discriminator moves the student
    loss, metrics = made.critic_loss(made.critic, made.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    expected = metrics["flow"] + 0.03 * (metrics["gan"] + 1e-4 * metrics["r1"])
    torch.testing.assert_close(loss.detach(), expected)
    assert metrics["r1"] > 0
    heads = list(made.critic.get_submodule("discriminator.heads").children())
    assert len(heads) == 3
    for head in heads:
        matrices = [p for p in head.parameters() if p.ndim > 1]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in matrices)
    made.critic.requires_grad_(False)
    loss, _ = made.loss(made.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().max() > 1e-5 for p in made.module.parameters())
    assert all(p.grad is None for p in made.checkpoint.autoencoder.parameters())
