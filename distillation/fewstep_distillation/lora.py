"""Low-rank adaptation of linear layers and 1x1 convolutions (Hu et al. 2021, arXiv:2106.09685): ``W + B A alpha / rank``."""

import copy
from pathlib import Path
from typing import TypeGuard

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.checkpoint import load_weights, lora_file, read_config
from fewstep_models.lora import DOWN, UP, read_additions


class Adapted(nn.Module):
    """A frozen layer with a trainable addition of low rank; B starts at 0, so that nothing is added yet."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = layer.weight.shape[:2]
        self.layer = layer
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.scale = alpha / rank

    @property
    def weight(self) -> Tensor:
        """The sum, in the shape of the layer's weight."""
        return self.layer.weight + (self.scale * (self.up @ self.down)).reshape(self.layer.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.Conv2d):
            return nn.functional.conv2d(x, self.weight, self.layer.bias)
        return nn.functional.linear(x, self.weight, self.layer.bias)


def add_lora(module: nn.Module, rank: int, alpha: float | None = None) -> None:
    """Adapt all linear layers and dense 1x1 convolutions of a module, whose weights are frozen; ``alpha`` is the rank if None.

    What is small learns as it is: biases, tables, gains, depthwise kernels.
    """
    module.requires_grad_(True)
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if is_product(layer):
                layer.weight.requires_grad_(False)
                setattr(parent, name, Adapted(layer, rank, float(rank) if alpha is None else alpha))


def fused(module: nn.Module) -> nn.Module:
    """A copy whose weights hold their additions, with the layers and names of a module that never had any."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, adapted in list(parent.named_children()):
            if isinstance(adapted, Adapted):
                adapted.layer.weight.data = adapted.weight.detach()
                setattr(parent, name, adapted.layer)
    return module


def adapted_denoiser(folder: Path, rank: int) -> nn.Module:
    """The denoiser of a checkpoint, adapted; a checkpoint that is a LoRA on another's weights goes on with that LoRA.

    Raises:
        FewstepError: the weights cannot be read, or the checkpoint's LoRA has another rank.
    """
    config = read_config(folder)
    module: nn.Module = config.denoiser.build()
    additions = read_additions(lora_file(folder, "denoiser")) if "denoiser" in config.loras else {}
    whole = {name: value for name, value in additions.items() if not name.endswith((DOWN, UP))}
    load_weights(module, config.weight_file(folder, "denoiser"), whole, config.blocks)
    add_lora(module, rank)
    if additions:
        found = next((len(value) for name, value in additions.items() if name.endswith(DOWN)), 0)
        if found != rank:
            raise FewstepError(
                f"expected lora_rank = {found}, the rank of the LoRA of {folder}, found {rank}"
            )
        with torch.no_grad():
            parameters = additions_of(module)
            for name, value in additions.items():
                parameters[name].copy_(value)
    return module


def additions_of(module: nn.Module) -> dict[str, nn.Parameter]:
    """What an adapted module has beside its frozen weights, by the names in a file of additions (``fewstep_models/lora.py``)."""
    adapted = {name for name, part in module.named_modules() if isinstance(part, Adapted)}
    found = {}
    for name, parameter in module.named_parameters():
        owner, _, last = name.rpartition(".")
        if owner in adapted:
            found[f"{owner}.weight.{last}"] = parameter
        elif owner.removesuffix(".layer") not in adapted:
            found[name] = parameter
        elif last != "weight":
            found[f"{owner.removesuffix('.layer')}.{last}"] = parameter
    return found


def save_additions(module: nn.Module, path: Path) -> None:
    """What an adapted module adds to the one that it began as, in FP16; its alpha is its rank."""
    tensors = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in additions_of(module).items()
    }
    save_file(tensors, path, metadata={"format": "pt"})


def is_product(layer: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """Whether a layer is a product with one matrix: linear, or a dense 1x1 convolution."""
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.kernel_size == (1, 1) and layer.stride == (1, 1)
    return isinstance(layer, nn.Linear)
