"""Adversarial distillation: who pulls whom, and that the score's part is score distillation."""

from collections.abc import Callable

import pytest
import torch

from fewstep_distillation.flow import noised
from fewstep_distillation.methods.adversarial import Adversarial, AdversarialMethod
from fewstep_distillation.mobilenet import MobileNetV2
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.score_distillation import score_distillation_gradient
from fewstep_distillation.timesteps import TimestepConfig, sample_sigma

OBJECTIVE = Adversarial(layers=(0, 1), weighting="sds")


@pytest.fixture
def method(recipe: Callable[..., DistillationRecipe]) -> AdversarialMethod:
    """A prepared method whose discriminator judges both blocks of the teacher."""
    made = AdversarialMethod(OBJECTIVE, recipe(OBJECTIVE))
    made.prepare(torch.device("cpu"))
    return made


def test_score_distance_has_the_gradient_of_score_distillation(method: AdversarialMethod) -> None:
    batch = method.batch(3, torch.Generator().manual_seed(0))
    drawn = torch.randn_like(batch.x0).requires_grad_()
    distance = method._score_distance(drawn, batch, torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(distance * drawn.numel(), drawn)
    generator = torch.Generator().manual_seed(1)
    sigma = sample_sigma(TimestepConfig("uniform"), 3, generator)
    noise = method.noise(drawn, generator)
    x = noised(drawn.detach(), noise, sigma)
    expected = score_distillation_gradient(x, method.guided(x, sigma, batch), noise, sigma, weight=sigma)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_student_climbs_what_the_discriminator_says(method: AdversarialMethod) -> None:
    """A step down the student's loss, without the score's part, raises the logits of its pictures."""
    method.objective = Adversarial(layers=(0, 1), score_weight=0.0)
    method.critic.requires_grad_(False)

    def loss() -> torch.Tensor:
        return method.loss(method.module, 16, torch.Generator().manual_seed(0))[0]

    before = loss()
    parameters = list(method.module.parameters())
    gradients = torch.autograd.grad(before, parameters, allow_unused=True)
    with torch.no_grad():
        for p, g in zip(parameters, gradients, strict=True):
            if g is not None:
                p.add_(g, alpha=-1e-3 / (1e-8 + float(g.norm())))
        assert loss() < before


def test_discriminator_learns_to_tell_real_from_drawn(method: AdversarialMethod) -> None:
    optimizer = torch.optim.Adam(method.critic.parameters(), lr=1e-3)
    hinges = []
    for step in range(30):
        loss, metrics = method.critic_loss(
            method.critic, method.module, 16, torch.Generator().manual_seed(step)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hinges.append(float(metrics["hinge"]))
    assert hinges[0] == pytest.approx(
        2.0, abs=0.5
    )  # E max(0, 1 - D) + E max(0, 1 + D) of a network that knows nothing
    assert sum(hinges[-5:]) / 5 < 0.8 * hinges[0]


def test_critics_loss_leaves_the_student_alone(method: AdversarialMethod) -> None:
    loss, _ = method.critic_loss(method.critic, method.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    assert all(p.grad is None for p in method.module.parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.critic.parameters())


@pytest.mark.parametrize("layers", [(), (0, 1)])
def test_discriminator_may_see_pictures(
    layers: tuple[int, ...], recipe: Callable[..., DistillationRecipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADD, alone or beside LADD: every head learns, and what they say reaches the student."""
    torch.manual_seed(0)
    network = MobileNetV2((0, 1)).eval().requires_grad_(False)
    monkeypatch.setattr(MobileNetV2, "from_pretrained", lambda stages: network)
    objective = Adversarial(layers=layers, stages=(0, 1), score_weight=0.0)
    made = AdversarialMethod(objective, recipe(objective))
    made.prepare(torch.device("cpu"))
    assert len(list(made.critic.get_submodule("heads").children())) == len(layers) + 2
    loss, metrics = made.critic_loss(made.critic, made.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    assert metrics["r1"] > 0
    for head in made.critic.get_submodule("heads").children():
        matrices = [p for p in head.parameters() if p.ndim > 1]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in matrices)
    made.critic.requires_grad_(False)
    loss, _ = made.loss(made.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in made.module.parameters())
    assert all(p.grad is None for p in made.checkpoint.autoencoder.parameters())


@pytest.mark.parametrize("fields", [{"layers": ()}, {"r1_weight": -1.0}, {"weighting": "nfsd"}])
def test_impossible_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        Adversarial(**fields)  # type: ignore[arg-type]
