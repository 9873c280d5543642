"""Recipes: the shipped ones are valid, and every mistake is named."""

from pathlib import Path

import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.recipe import AutoencoderRecipe, FlowMatchingRecipe, parse_settings, read_recipe

RECIPES = Path(__file__).parents[2] / "distillation" / "recipes"


def test_shipped_recipes_read() -> None:
    assert isinstance(read_recipe(RECIPES / "emoji-128-autoencoder.toml"), AutoencoderRecipe)
    teacher = read_recipe(RECIPES / "emoji-128-teacher.toml")
    assert isinstance(teacher, FlowMatchingRecipe)
    assert teacher.timesteps.density == "logit-normal"


def test_settings_override_nested_fields() -> None:
    settings = parse_settings(["run.steps=7", "model.width=64", "run.precision=no", "timesteps.density=mode"])
    recipe = read_recipe(RECIPES / "emoji-128-teacher.toml", settings)
    assert isinstance(recipe, FlowMatchingRecipe)
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
