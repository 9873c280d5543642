"""Low-rank adaptation of linear layers and 1x1 convolutions (Hu et al. 2021, arXiv:2106.09685): ``W + B A alpha / rank``."""

import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fewstep_models.lora import DOWN, UP


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
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and _is_dense(layer)):
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


def save_additions(module: nn.Module, path: Path) -> None:
    """What an adapted module adds to the one that it began as, in FP16 (the format is that of ``fewstep_models/lora.py``)."""
    adapted = {f"{name}.weight": part for name, part in module.named_modules() if isinstance(part, Adapted)}
    tensors = {name + DOWN: part.down for name, part in adapted.items()}
    tensors |= {name + UP: part.scale * part.up for name, part in adapted.items()}
    plain = {name: p for name, p in fused(module).named_parameters() if name not in adapted}
    save_file(
        {
            name: value.detach().to("cpu", torch.float16).contiguous()
            for name, value in (tensors | plain).items()
        },
        path,
        metadata={"format": "pt"},
    )


def _is_dense(layer: nn.Conv2d) -> bool:
    return layer.groups == 1 and layer.kernel_size == (1, 1) and layer.stride == (1, 1)
