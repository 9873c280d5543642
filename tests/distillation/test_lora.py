"""Low-rank adaptation: nothing at first, the same function when fused, and few parameters that learn."""

import pytest
import torch
from torch import nn

from fewstep_distillation.lora import Adapted, add_lora, fused
from fewstep_models.checkpoint import Checkpoint
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


def test_only_the_addition_learns(adapted: nn.Module) -> None:
    names = {name.rpartition(".")[2] for name, p in adapted.named_parameters() if p.requires_grad}
    assert names == {"up", "down"}
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
