"""Recipes: the shipped ones are valid, and every mistake is named."""

import dataclasses
from pathlib import Path

import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.recipe import AutoencoderRecipe, FlowMatchingRecipe, parse_settings, read_recipe
from fewstep_models.sana import SanaConfig
from fewstep_models.unet import UNetConfig

RECIPES = Path(__file__).parents[2] / "distillation" / "recipes"


def test_shipped_recipes_read() -> None:
    assert isinstance(read_recipe(RECIPES / "emoji-128-autoencoder.toml"), AutoencoderRecipe)
    teacher = read_recipe(RECIPES / "emoji-128-teacher.toml")
    assert isinstance(teacher, FlowMatchingRecipe)
    assert teacher.timesteps.density == "logit-normal"


def test_recipes_of_the_backbones_differ_in_the_network_alone() -> None:
    recipes = [read_recipe(path) for path in sorted((RECIPES / "backbones").glob("*.toml"))]
    assert len(recipes) == 9
    common = []
    for recipe in recipes:
        assert isinstance(recipe, FlowMatchingRecipe)
        assert 10e6 <= sum(p.numel() for p in recipe.model.build().parameters()) <= 12.5e6
        run = dataclasses.replace(recipe.run, output="", compile=False)  # speed, not what is learnt
        common.append(dataclasses.replace(recipe, run=run, model=SanaConfig(), name=""))
    assert all(recipe == common[0] for recipe in common)


def test_the_type_of_a_model_chooses_its_fields() -> None:
    path = RECIPES / "emoji-128-teacher.toml"
    recipe = read_recipe(path, parse_settings(["model.type=unet", "model.widths=[32, 64, 96]"]))
    assert isinstance(recipe, FlowMatchingRecipe)
    assert recipe.model == UNetConfig(widths=(32, 64, 96))
    with pytest.raises(FewstepError, match=r"expected one of the backbones sana, .*, found 'gan'"):
        read_recipe(path, parse_settings(["model.type=gan"]))
    with pytest.raises(FewstepError, match="unexpected keyword argument 'patch'"):
        read_recipe(path, parse_settings(["model.patch=2"]))


def test_settings_override_nested_fields() -> None:
    settings = parse_settings(["run.steps=7", "model.width=64", "run.precision=no", "timesteps.density=mode"])
    recipe = read_recipe(RECIPES / "emoji-128-teacher.toml", settings)
    assert isinstance(recipe, FlowMatchingRecipe)
    assert isinstance(recipe.model, SanaConfig)
    assert (recipe.run.steps, recipe.model.width, recipe.run.precision) == (7, 64, "no")
    assert recipe.timesteps.density == "mode"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["run.steps=0"], "steps, batch_size and seconds must be positive, found 0"),
        (["run.precision=int3"], "precision must be no, bf16 or fp16, found 'int3'"),
        (["unheard=1"], "unknown field unheard"),
        (["run.unheard=1"], "unheard"),
        (["method=magic"], "found 'magic'"),
        (["timesteps.density=cosine"], "density must be"),
    ],
)
def test_mistakes_are_named(settings: list[str], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        read_recipe(RECIPES / "emoji-128-teacher.toml", parse_settings(settings))


def test_missing_file_and_setting_without_value() -> None:
    with pytest.raises(FewstepError, match="expected a recipe at nowhere"):
        read_recipe(Path("nowhere.toml"))
    with pytest.raises(FewstepError, match=r"expected KEY=VALUE after --set, found 'run\.steps'"):
        parse_settings(["run.steps"])
