"""One process of a distributed run of the tests: the real recipe and trainer, its parameters written down by rank.

Run by ``test_distributed.py`` as ``torchrun ... one_of_many.py RECIPE_JSON OUTPUT``; the banks come from their cache, since the text encoder of
the tests lives in another process.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from fewstep_distillation.methods.adversarial import Adversarial
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.run_config import BankConfig, RunConfig
from fewstep_distillation.trainer import Trainer


def main() -> None:
    """Train, and save both players' parameters and moments as this rank has them."""
    data, output = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    objective = Adversarial(layers=tuple(data.pop("layers")))
    run, bank = RunConfig(**data.pop("run")), BankConfig(**data.pop("bank"))
    recipe = DistillationRecipe(run, bank=bank, objective=objective, **data)
    torch.manual_seed(run.seed)
    method = objective.build(recipe)

    def write(module: nn.Module, folder: Path) -> None:
        """No sheet of pictures: it needs the text encoder."""

    method.write = write  # type: ignore[method-assign]
    trainer = Trainer(method, run)
    trainer.run()
    assert trainer.critic is not None
    critic = {f"critic.{name}": value for name, value in trainer.critic.pack().items()}
    save_file(trainer.player.pack() | critic, output / f"rank{trainer.accelerator.process_index}.safetensors")


if __name__ == "__main__":
    main()
