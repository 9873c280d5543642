"""`fewstep train RECIPE.toml` as a function; also ``python -m fewstep_distillation.train`` under torchrun or accelerate launch."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from fewstep_distillation.methods.autoencoder import AutoencoderMethod
from fewstep_distillation.methods.decoder import DecoderMethod
from fewstep_distillation.methods.flow_matching import FlowMatchingMethod
from fewstep_distillation.methods.protocol import Method
from fewstep_distillation.recipe import (
    AutoencoderRecipe,
    DecoderRecipe,
    FlowMatchingRecipe,
    Recipe,
    parse_settings,
    read_recipe,
)
from fewstep_distillation.trainer import Trainer


def train(
    recipe: Recipe, resume: bool = False, on_log: Callable[[dict[str, float]], None] | None = None
) -> Path:
    """Run a recipe to the end of its budget; the output folder holds the weights, ``log.jsonl``, ``recipe.json`` and the state."""
    torch.manual_seed(recipe.run.seed)  # initial weights; every later choice has its own generator
    method = _method(recipe)
    output = Path(recipe.run.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")
    return Trainer(method, recipe.run, on_log).run(resume)


def _method(recipe: Recipe) -> Method:
    if isinstance(recipe, AutoencoderRecipe):
        return AutoencoderMethod(recipe)
    if isinstance(recipe, FlowMatchingRecipe):
        return FlowMatchingMethod(recipe)
    if isinstance(recipe, DecoderRecipe):
        return DecoderMethod(recipe)
    return recipe.objective.build(recipe)


def main() -> None:
    """The entry point of every process of a distributed run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, parse_settings(options.set))
    train(
        recipe, options.resume, on_log=lambda record: print(json.dumps(record), file=sys.stderr, flush=True)
    )


if __name__ == "__main__":
    main()
