"""Low-rank adaptation: nothing at first, the same function when fused, and few parameters that learn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from fewstep_distillation.lora import Adapted, add_lora, fused
from fewstep_distillation.methods.consistency import Consistency
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.train import train
from fewstep_models.checkpoint import Checkpoint, load_weights, lora_file
from fewstep_models.lora import read_additions
from fewstep_models.sana import SanaDenoiser

INPUTS = (torch.randn(2, 4, 8, 8), torch.tensor([10.0, 900.0]), torch.randn(2, 5, 32), torch.ones(2, 5))


@pytest.fixture
def adapted(checkpoint: Checkpoint) -> nn.Module:
    """The tiny teacher with a LoRA of rank 2 that adds something."""
    module = SanaDenoiser(checkpoint.denoiser.config)  # type: ignore[arg-type]
    module.load_state_dict(checkpoint.denoiser.state_dict())
    add_lora(module, rank=2)
    return module


def test_starts_as_the_module_it_adapts(adapted: nn.Module, checkpoint: Checkpoint) -> None:
    torch.testing.assert_close(adapted(*INPUTS), checkpoint.denoiser(*INPUTS), atol=0, rtol=0)


def test_fused_is_the_same_function_under_the_plain_names(adapted: nn.Module, checkpoint: Checkpoint) -> None:
    torch.manual_seed(0)
    for module in adapted.modules():
        if isinstance(module, Adapted):
            nn.init.normal_(module.up, std=0.1)
    plain = fused(adapted)
    assert list(plain.state_dict()) == list(checkpoint.denoiser.state_dict())
    torch.testing.assert_close(plain(*INPUTS), adapted(*INPUTS), atol=1e-6, rtol=0)
    assert (plain(*INPUTS) - checkpoint.denoiser(*INPUTS)).abs().max() > 1e-2


def test_only_additions_and_what_is_small_learn(adapted: nn.Module) -> None:
    frozen = [name for name, p in adapted.named_parameters() if not p.requires_grad]
    assert frozen and all(name.endswith(".layer.weight") for name in frozen)
    learning = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert learning < 0.5 * sum(p.numel() for p in adapted.parameters())
    layers = [m for m in adapted.modules() if isinstance(m, Adapted)]
    kinds = {type(m.layer) for m in layers}
    assert kinds == {nn.Linear, nn.Conv2d}
    assert not any(isinstance(m.layer, nn.Conv2d) and m.layer.groups > 1 for m in layers)


def test_addition_has_the_given_rank_and_scale() -> None:
    torch.manual_seed(0)
    layer = Adapted(nn.Linear(6, 5), rank=2, alpha=8.0)
    nn.init.normal_(layer.up)
    addition = (layer.weight - layer.layer.weight).detach()
    assert torch.linalg.matrix_rank(addition, rtol=1e-4) == 2
    torch.testing.assert_close(addition, 4.0 * (layer.up @ layer.down).detach())


def test_a_run_leaves_a_plain_checkpoint_and_the_lora_that_makes_it(
    recipe: Callable[..., DistillationRecipe], teacher: Path
) -> None:
    made = train(recipe(Consistency(), lora_rank=2))
    plain, before = Checkpoint.load(made).denoiser, Checkpoint.load(teacher).denoiser
    changed = {
        name
        for name, value in plain.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert {"blocks.0.attention.to_qkv.weight", "blocks.0.ffn.conv_depth.weight"} <= changed
    load_weights(before, teacher / "denoiser.safetensors", read_additions(lora_file(made, "denoiser")))
    for name, value in before.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], atol=1e-3, rtol=1e-3)
