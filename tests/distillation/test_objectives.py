"""The table ``[objective]`` of a recipe, and the shipped recipes of students."""

from pathlib import Path
from typing import get_args

import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.methods.adversarial import Adversarial
from fewstep_distillation.objectives import Objective, from_json
from fewstep_distillation.recipe import DistillationRecipe, parse_settings, read_recipe
from fewstep_distillation.timesteps import TimestepConfig

STUDENTS = sorted((Path(__file__).parents[2] / "distillation" / "recipes" / "students").glob("*.toml"))


@pytest.mark.parametrize("path", STUDENTS, ids=lambda path: path.stem)
def test_recipes_of_students_read_and_are_named_after_their_files(path: Path) -> None:
    recipe = read_recipe(path)
    assert isinstance(recipe, DistillationRecipe)
    assert recipe.name == f"emoji-128-{path.stem}"
    assert recipe.run.output == f"out/train/students/{path.stem}"
    sources = {f"out/train/students/{other.stem}" for other in STUDENTS} | {"emoji-128", "emoji-128-4step"}
    loras = {
        f"{source}-lora" for source in sources
    }  # made by extract_lora, as the recipes that start there say
    assert recipe.teacher in sources
    assert recipe.start in sources | loras | {""}


def test_every_objective_has_a_recipe() -> None:
    kinds = {type(read_recipe(path).objective) for path in STUDENTS}  # type: ignore[union-attr]
    assert kinds == set(get_args(Objective))


def test_the_type_chooses_the_fields() -> None:
    objective = from_json(
        {"type": "adversarial", "layers": [1, 2], "renoise": {"density": "uniform", "shift": 2.0}}
    )
    assert objective == Adversarial(layers=(1, 2), renoise=TimestepConfig("uniform", shift=2.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["objective.type=magic"], "expected one of the objectives progressive, .*, found 'magic'"),
        (["objective.rounds=2"], "unexpected keyword argument 'rounds'"),
        (["objective.substeps=0"], "substeps must be at least 1, found 0"),
        (["steps=0"], "steps and shift must be positive, found 0"),
    ],
)
def test_mistakes_are_named(settings: list[str], message: str) -> None:
    path = next(path for path in STUDENTS if path.stem == "progressive-4")
    with pytest.raises(FewstepError, match=message):
        read_recipe(path, parse_settings(settings))
