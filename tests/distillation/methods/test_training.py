"""Every objective through the real training loop: gradients, who moves, checkpoints that load, and exact resumption."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

from fewstep_distillation.methods.adversarial import Adversarial
from fewstep_distillation.methods.cfg_aware import CFGAware
from fewstep_distillation.methods.consistency import Consistency
from fewstep_distillation.methods.distribution_matching import DistributionMatching
from fewstep_distillation.methods.features import Features
from fewstep_distillation.methods.one_step import OneStep
from fewstep_distillation.methods.progressive import Progressive
from fewstep_distillation.methods.protocol import Criticised
from fewstep_distillation.methods.quantisation_aware import QuantisationAware
from fewstep_distillation.methods.reflow import Reflow
from fewstep_distillation.methods.scm import ContinuousConsistency
from fewstep_distillation.methods.sprint import Sprint
from fewstep_distillation.objectives import Objective
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.train import train
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.sana import SanaConfig

# torch's own rules of forward-mode differentiation are compiled in a way that it calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
Recipe = Callable[..., DistillationRecipe]

SMALL = SanaConfig(
    latent_channels=4, size=8, width=32, depth=1, cross_head_channels=32, text_dim=32, time_dim=32
)
OBJECTIVES: list[Objective] = [
    Progressive(),
    CFGAware(),
    OneStep(pairs=8, teacher_steps=2),
    Reflow(pairs=8, teacher_steps=2),
    Consistency(),
    Adversarial(layers=(0, 1)),
    Adversarial(layers=(0, 1), mismatched=0.5),
    DistributionMatching(layers=(1,)),
    DistributionMatching(layers=(1,), mismatched=0.5),
    ContinuousConsistency(tangent_warmup=4),
    Sprint(layers=(0, 1), tangent_warmup=4),
    Features(SMALL, blocks=(0,), teacher_blocks=(1,)),
    QuantisationAware(calibration=1),
]


def test_every_objective_is_tried() -> None:
    assert {type(objective) for objective in OBJECTIVES} == set(get_args(Objective))


def _steps(objective: Objective) -> int:
    if isinstance(objective, QuantisationAware):
        return 3  # its teacher's
    return 1 if isinstance(objective, OneStep) else 2


def _name(objective: Objective) -> str:
    return objective.type + ("-mismatched" if getattr(objective, "mismatched", 0) else "")


@pytest.mark.parametrize("objective", OBJECTIVES, ids=_name)
def test_loss_has_finite_gradients_for_its_own_player_alone(recipe: Recipe, objective: Objective) -> None:
    method = objective.build(recipe(objective, steps=_steps(objective)))
    method.prepare(torch.device("cpu"))
    if isinstance(method, Criticised):
        method.critic.requires_grad_(False)  # as the trainer does
    loss, metrics = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    loss.backward()
    trained = [p for p in method.module.parameters() if p.requires_grad]
    gradients = [p.grad for p in trained if p.grad is not None]
    assert len(gradients) >= 0.9 * len(trained)
    assert all(g.isfinite().all() for g in gradients)
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    assert all(p.grad is None for p in method.teacher.parameters())
    assert not any(value.requires_grad for value in metrics.values())
    if isinstance(method, Criticised):
        assert all(p.grad is None for p in method.critic.parameters())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=_name)
def test_training_writes_a_student_that_loads(recipe: Recipe, objective: Objective, teacher: Path) -> None:
    config = recipe(objective, steps=_steps(objective))
    folder = train(config)
    student, before = Checkpoint.load(folder), Checkpoint.load(teacher)
    method = objective.build(config)
    sampling, own = student.config.sampling, before.config.sampling.sampler
    sampler = own if isinstance(objective, QuantisationAware) else method.sampler
    assert (sampling.steps, sampling.sampler) == (config.steps, sampler)
    assert sampling.guidance == (before.config.sampling.guidance if method.keeps_guidance else 1.0)
    assert student.config.training["teacher"] == "tiny"
    weights, old = student.denoiser.state_dict(), before.denoiser.state_dict()
    assert any(not torch.equal(weights[name], old[name]) for name in weights)
    frozen = zip(student.autoencoder.parameters(), before.autoencoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in frozen)
    assert (folder / "samples.png").is_file()
    assert (folder / "log.svg").is_file()
    assert len((folder / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("objective", OBJECTIVES, ids=_name)
@pytest.mark.slow
def test_resumed_run_is_the_uninterrupted_one(
    recipe: Recipe, objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters, averages and moments of both players; the learning rate is pinned, as in ``test_trainer.py``."""
    monkeypatch.setattr("fewstep_distillation.trainer.learning_rate", lambda config, progress: 1e-3)
    steps = _steps(objective)
    whole = load_file(train(recipe(objective, steps, updates=4, name="whole")) / "state.safetensors")
    train(recipe(objective, steps, updates=2, name="parts"))
    parts = load_file(
        train(recipe(objective, steps, updates=4, name="parts"), resume=True) / "state.safetensors"
    )
    assert list(parts) == list(whole)
    assert any(name.startswith("critic.exp_avg.") for name in whole) == isinstance(
        objective, Adversarial | Sprint | DistributionMatching
    )
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")  # the compiler trips over warnings of its own
@pytest.mark.slow  # the compiler takes half a minute
@pytest.mark.parametrize("objective", OBJECTIVES, ids=_name)
def test_compiled_training_is_the_plain_one(
    recipe: Recipe, objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewstep_distillation.trainer.learning_rate", lambda config, progress: 1e-4)
    logs = []
    for compiled in (False, True):
        config = recipe(objective, _steps(objective), updates=2, name=f"compiled-{compiled}")
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, compile=compiled))
        lines = (train(config) / "log.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
    for plain, compiled in zip(*logs, strict=True):
        assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-3, abs=1e-5)
        assert compiled["gradient_norm"] == pytest.approx(plain["gradient_norm"], rel=1e-2, abs=1e-5)


def test_a_student_starts_where_another_ended(recipe: Recipe) -> None:
    """The second round of progressive distillation, from the student of the first as ``start`` and as ``teacher``."""
    first = train(recipe(Progressive(), steps=2, name="first"))
    config = recipe(Progressive(), steps=1)
    for chained in ({"start": str(first)}, {"teacher": str(first)}):
        method = Progressive().build(DistillationRecipe(**{**vars(config), **chained}))
        expected = Checkpoint.load(first).denoiser.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in method.module.state_dict().items())
        assert method.guidance == (3.0 if "start" in chained else 1.0)
