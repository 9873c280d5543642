"""Two processes on one CPU (gloo): one update is the mean of both processes' gradients, and both end with the same weights."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fewstep_distillation.methods.adversarial import Adversarial, AdversarialMethod
from fewstep_distillation.recipe import DistillationRecipe

WORKER = Path(__file__).parent / "one_of_many.py"
OBJECTIVE = Adversarial(layers=(0, 1))


@pytest.fixture
def prepared(recipe: Callable[..., DistillationRecipe], tmp_path: Path) -> tuple[AdversarialMethod, Path]:
    """The method with fresh weights, and a folder with the same recipe and encoded banks for other processes.

    Adam's moments tell the gradients: nothing of older ones in them (beta1 = 0), and no clipping.
    """
    config = recipe(OBJECTIVE, updates=1)
    run = dataclasses.replace(config.run, beta1=0.0, gradient_clip=1e9, batch_size=8)
    bank = dataclasses.replace(config.bank, cache=str(tmp_path / "banks"))
    config = dataclasses.replace(config, run=run, bank=bank)
    torch.manual_seed(run.seed)
    method = AdversarialMethod(OBJECTIVE, config)
    method.prepare(torch.device("cpu"))
    data = dataclasses.asdict(config)
    del data["objective"]
    (tmp_path / "recipe.json").write_text(json.dumps(data | {"layers": OBJECTIVE.layers}))
    return method, tmp_path


def _run_two(folder: Path) -> list[dict[str, Tensor]]:
    """What every rank has in the end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*command, str(WORKER), str(folder / "recipe.json"), str(folder)],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=300,
        capture_output=True,
    )
    return [load_file(folder / f"rank{rank}.safetensors") for rank in range(2)]


def _expected_critic_gradients(method: AdversarialMethod, generators: list[torch.Generator]) -> list[Tensor]:
    """The mean over both processes, each with its own generator and half of the batch."""
    losses = [method.critic_loss(method.critic, method.module, 4, g)[0] for g in generators]
    return list(torch.autograd.grad(torch.stack(losses).mean(), list(method.critic.parameters())))


def test_one_update_of_two_processes(prepared: tuple[AdversarialMethod, Path]) -> None:
    method, folder = prepared
    first, second = _run_two(folder)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)

    generators = [torch.Generator().manual_seed(hash((0, 0, rank)) & 0x7FFFFFFFFFFFFFFF) for rank in range(2)]
    names = [name for name, _ in method.critic.named_parameters()]
    for name, gradient in zip(names, _expected_critic_gradients(method, generators), strict=True):
        torch.testing.assert_close(first[f"critic.exp_avg.{name}"], gradient, atol=1e-6, rtol=1e-4)

    with torch.no_grad():  # the student's loss comes after the critic's update
        for name, p in method.critic.named_parameters():
            p.copy_(first[f"critic.module.{name}"])
    losses = [method.loss(method.module, 4, g)[0] for g in generators]
    parameters = dict(method.module.named_parameters())
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(parameters.values()))
    for name, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(first[f"exp_avg.{name}"], gradient, atol=1e-6, rtol=1e-4)
    assert not torch.equal(losses[0], losses[1])  # the processes saw different examples
