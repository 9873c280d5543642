"""Feature distillation to a smaller network: nothing to learn for a copy, and a checkpoint of the small denoiser alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fewstep_distillation.critics import tapped
from fewstep_distillation.flow import noised
from fewstep_distillation.methods.consistency import Consistency
from fewstep_distillation.methods.features import Features, FeaturesMethod, relative
from fewstep_distillation.recipe import DistillationRecipe, read_recipe
from fewstep_distillation.timesteps import sample_sigma
from fewstep_distillation.train import train
from fewstep_models import zoo
from fewstep_models.block_removal import shortened_config
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.sana import SanaConfig

SMALL = SanaConfig(
    latent_channels=4, size=8, width=32, depth=1, cross_head_channels=32, text_dim=32, time_dim=32
)
OBJECTIVE = Features(SMALL, blocks=(0,), teacher_blocks=(1,))
Recipe = Callable[..., DistillationRecipe]


def test_a_copy_of_the_teacher_has_only_the_task_to_learn(recipe: Recipe, teacher: Path) -> None:
    config = dataclasses.replace(recipe(OBJECTIVE), start=str(teacher))
    same = dataclasses.replace(OBJECTIVE, model=SMALL, blocks=(0,), teacher_blocks=(0,))
    method = FeaturesMethod(same, config)
    to_teacher = method.module.get_submodule("maps.0")
    assert isinstance(to_teacher, nn.Conv2d)
    assert to_teacher.bias is not None
    nn.init.dirac_(to_teacher.weight)
    nn.init.zeros_(to_teacher.bias)
    method.prepare(torch.device("cpu"))
    loss, metrics = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    assert metrics["output"] < 1e-10
    assert metrics["features"] < 1e-10
    torch.testing.assert_close(loss.detach(), metrics["task"])


def test_distance_of_features_does_not_know_their_scale() -> None:
    a, b = torch.randn(2, 3, 4, 5, 5)
    torch.testing.assert_close(relative(100 * a, 100 * b), relative(a, b))
    assert relative(torch.zeros_like(b), b) == 1.0


def test_small_student_learns_from_outputs_and_features(recipe: Recipe) -> None:
    torch.manual_seed(0)
    method = FeaturesMethod(OBJECTIVE, recipe(OBJECTIVE))
    method.prepare(torch.device("cpu"))
    optimizer = torch.optim.Adam(method.module.parameters(), lr=3e-3)

    def step(count: int, seed: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return method.loss(method.module, count, torch.Generator().manual_seed(seed))

    _, before = step(64, seed=100)
    for seed in range(20):
        loss, _ = step(8, seed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, after = step(64, seed=100)
    assert after["output"] < 0.9 * before["output"]
    assert after["features"] < 0.9 * before["features"]


def test_a_small_student_is_written_and_made_few_step(recipe: Recipe, teacher: Path) -> None:
    """The phone tier: features first, then any method with the small network as its start."""
    small = train(recipe(OBJECTIVE, steps=3, name="small"))
    made = Checkpoint.load(small)
    assert made.config.denoiser == SMALL
    assert made.config.sampling.guidance == 3.0
    fewer = dataclasses.replace(recipe(Consistency(), name="fewer"), start=str(small))
    student = Checkpoint.load(train(fewer))
    assert student.config.denoiser == SMALL
    assert student.config.sampling.guidance == 1.0


def test_a_small_student_may_be_some_of_the_teachers_blocks(recipe: Recipe, teacher: Path) -> None:
    """BK-SDM: block 1 alone, with a LoRA that adds nothing yet; the LoRA's checkpoint refers to the teacher's blocks."""
    kept = Features(kept=(1,), blocks=(0,), teacher_blocks=(1,))
    method = FeaturesMethod(kept, recipe(kept, lora_rank=2))
    made = method._checkpoint(method.module.get_submodule("denoiser"))
    assert getattr(made.config.denoiser, "depth", 0) == 1
    wanted = Checkpoint.load(teacher).denoiser.state_dict()
    for name, value in made.denoiser.state_dict().items():
        torch.testing.assert_close(value, wanted[name.replace("blocks.0", "blocks.1")])


def test_guidance_may_be_learnt(recipe: Recipe) -> None:
    """The outputs wanted are the guided ones, the features those of the captions, and the student needs no guidance."""
    guided = dataclasses.replace(OBJECTIVE, guided=True, task_weight=0.0, caption_dropout=0.0)
    method = FeaturesMethod(guided, recipe(guided))
    method.prepare(torch.device("cpu"))
    loss, metrics = method.loss(method.module, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss.detach(), metrics["output"] + metrics["features"])
    generator = torch.Generator().manual_seed(0)
    batch = method.with_dropout(method.batch(4, generator), 0.0, generator)
    sigma, noise = sample_sigma(guided.levels, 4, generator), method.noise(batch.x0, generator)
    x = noised(batch.x0, noise, sigma)
    velocity, features = method.module(x, 1000 * sigma, batch.states, batch.mask)
    with tapped(method.teacher, (1,)) as taught:
        method.teacher(x, 1000 * sigma, batch.states, batch.mask)
    wanted = method.guided(x, sigma, batch)
    torch.testing.assert_close(metrics["output"], F.mse_loss(velocity, wanted).detach())
    torch.testing.assert_close(metrics["features"], relative(features[0], taught[0]).detach())
    assert method._checkpoint(method.module.get_submodule("denoiser")).config.sampling.guidance == 1.0


def test_phone_tier_has_five_million_parameters() -> None:
    path = Path(__file__).parents[3] / "distillation" / "recipes" / "students" / "phone.toml"
    recipe = read_recipe(path)
    assert isinstance(recipe, DistillationRecipe)
    assert isinstance(recipe.objective, Features)
    config = shortened_config(
        Checkpoint.load(zoo.resolve(recipe.teacher)).config.denoiser, recipe.objective.kept
    )
    assert 4.8e6 < sum(p.numel() for p in config.build().parameters()) < 4.9e6


@pytest.mark.parametrize(
    "fields",
    [{"blocks": (0, 6), "teacher_blocks": (0, 1)}, {"teacher_blocks": (1,)}, {"caption_dropout": 2.0}],
)
def test_impossible_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"blocks must be some of the student's 6|caption_dropout must lie"):
        Features(**fields)  # type: ignore[arg-type]
