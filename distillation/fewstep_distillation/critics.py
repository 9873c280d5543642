"""Discriminators on a denoiser's features (Sauer et al. 2024, LADD, arXiv:2403.12015)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.backbones import BackboneConfig


@contextmanager
def tapped(denoiser: nn.Module, layers: Sequence[int]) -> Iterator[list[Tensor]]:
    """Within the block, every call of the denoiser leaves the outputs (B, C, h, w) of these blocks in the yielded list."""
    features: list[Tensor] = []
    blocks = denoiser.get_submodule("blocks")
    assert isinstance(blocks, nn.ModuleList)
    handles = [
        blocks[layer].register_forward_hook(lambda _, __, output: features.append(output)) for layer in layers
    ]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


class Head(nn.Module):
    """Features (B, C, h, w) and text (B, D) -> logits (B, h, w): one a position, plus a projection on the text (Miyato and Koyama 2018)."""

    def __init__(self, channels: int, text_dim: int, width: int = 128) -> None:
        super().__init__()
        self.to_hidden = nn.Conv2d(channels, width, 1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(8, width)
        self.to_logit = nn.Conv2d(width, 1, 1)
        self.to_text = nn.Linear(text_dim, width)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # R1 differentiates twice, which compiled graphs do not
    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        hidden = F.silu(self.norm(self.to_hidden(_standardised(features))))
        hidden = hidden + F.silu(self.mix(hidden))
        projection = (hidden * self.to_text(text)[..., None, None]).mean(1)
        return self.to_logit(hidden)[:, 0] + projection


class Discriminator(nn.Module):
    """One head for each feature of ``channels`` -> logits (B, h, w) of each: features may differ in size."""

    def __init__(self, channels: Sequence[int], text_dim: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(count, text_dim) for count in channels)

    def forward(self, features: Sequence[Tensor], text: Tensor) -> list[Tensor]:
        return [head(feature.float(), text) for head, feature in zip(self.heads, features, strict=True)]


def block_channels(layers: Sequence[int], backbone: BackboneConfig) -> list[int]:
    """Channels of the outputs of these blocks.

    Raises:
        FewstepError: the backbone is no stack of blocks of one width, or has fewer blocks.
    """
    width, depth = getattr(backbone, "width", 0), getattr(backbone, "depth", 0)
    if not width or not all(0 <= layer < depth for layer in layers):
        raise FewstepError(
            f"expected a teacher with blocks {tuple(layers)} of one width, found '{backbone.type}' with {depth} blocks; "
            "choose other objective.layers, or an objective without a discriminator"
        )
    return [width for _ in layers]


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """The mean (B, D) of text states (B, L, D) over the tokens of the mask (B, L)."""
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def hinge(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The discriminator's loss, a mean over its heads: ``E max(0, 1 - D(real)) + E max(0, 1 + D(fake))``."""
    return mean([F.relu(1 - logits) for logits in real]) + mean([F.relu(1 + logits) for logits in fake])


def logistic(logits: Sequence[Tensor], *, real: bool) -> Tensor:
    """``E softplus(-D)`` of what is to be taken for real, ``E softplus(D)`` of what is not, a mean over the heads."""
    return mean([F.softplus(-of_head if real else of_head) for of_head in logits])


def mean(logits: Sequence[Tensor]) -> Tensor:
    """The mean over the heads of each one's mean."""
    return torch.stack([of_head.float().mean() for of_head in logits]).mean()


def r1(logits: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """``E |grad_F sum D|^2``, averaged over the heads, on the features (B, C, h, w) of real pictures, which must ask for gradients."""
    total = torch.stack([of_head.float().sum() for of_head in logits]).sum()
    gradients = torch.autograd.grad(total, list(features), create_graph=True)
    return torch.stack([g.square().flatten(1).sum(1).mean() for g in gradients]).mean()


def _standardised(features: Tensor) -> Tensor:
    """Unit variance over the channels: blocks differ in scale by orders of magnitude."""
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + 1e-6)
