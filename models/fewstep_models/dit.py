"""DiT, the diffusion transformer with adaLN-Zero (Peebles & Xie 2022, arXiv:2212.09748), with text or with class labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.attention import KINDS, AttentionKind, self_attention
from fewstep_models.diffusers_weights import fused, load_renamed, patch_rows
from fewstep_models.layers import (
    ChannelLayerNorm,
    CrossAttention,
    TextProjection,
    TimestepEmbedder,
    mask_bias,
    zero_,
)
from fewstep_models.positions import sinusoidal_positions
from fewstep_models.sizes import require_positive


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of a DiT on latents (latent_channels, size, size).

    ``text_dim`` is the width of the text states, read by cross-attention in every block (the paper's second way of conditioning);
    0 leaves it out. ``attention`` is the kind of self-attention. ``time_shift`` and ``norm_eps`` (of the norm before the MLP) tell
    published weights apart from the paper.
    """

    type: str = field(default="dit", init=False)

    latent_channels: int = 8
    size: int = 16
    patch: int = 1
    width: int = 256
    depth: int = 7
    head_channels: int = 64
    mlp_ratio: float = 4.0
    text_dim: int = 384
    time_dim: int = 256
    time_shift: int = 0
    norm_eps: float = 1e-6
    attention: AttentionKind = "softmax"

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(
            self, "latent_channels", "size", "patch", "width", "depth", "head_channels", "time_dim"
        )
        if self.size % self.patch:
            raise ValueError(f"DiTConfig.size ({self.size}) must be a multiple of patch ({self.patch})")
        if self.attention not in KINDS:
            raise ValueError(
                f"DiTConfig.attention must be one of {', '.join(KINDS)}, found {self.attention!r}"
            )

    def build(self) -> "DiTDenoiser":
        """The network, with random weights."""
        return DiTDenoiser(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "DiTConfig":
        """The sizes in the ``config.json`` of a ``DiTTransformer2DModel``, whose conditions are class labels."""
        return cls(
            latent_channels=config["in_channels"],
            size=config["sample_size"],
            patch=config["patch_size"],
            width=config["num_attention_heads"] * config["attention_head_dim"],
            depth=config["num_layers"],
            head_channels=config["attention_head_dim"],
            text_dim=0,
            time_shift=1,
            norm_eps=config["norm_eps"],
        )


class DiTBlock(nn.Module):
    """adaLN-Zero: ``x += g1 Attn(LN(x)(1+s1)+b1);  x += CrossAttn(x, text);  x += g2 MLP(LN(x)(1+s2)+b2)``.

    ``(b1, s1, g1, b2, s2, g2) = W SiLU(c)`` with W zero at the start, so that every block starts as the identity.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.width
        hidden = round(width * config.mlp_ratio)
        self.norm_1, self.norm_2 = ChannelLayerNorm(), ChannelLayerNorm(config.norm_eps)
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = self_attention(config.attention, width, config.head_channels)
        self.cross_attention = CrossAttention(width, config.head_channels) if config.text_dim else None
        self.mlp_in = nn.Conv2d(width, hidden, 1)
        self.mlp_out = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor, c: Tensor, text: Tensor | None, bias: Tensor | None) -> Tensor:
        """``c`` (B, width); ``text`` (B, L, width) and ``bias`` (B, 1, 1, L) where the block has cross-attention."""
        b1, s1, g1, b2, s2, g2 = self.modulation(F.silu(c)).to(x.dtype)[..., None, None].chunk(6, dim=1)
        x = x + g1 * self.attention(self.norm_1(x) * (1 + s1) + b1)
        if self.cross_attention is not None:
            x = x + self.cross_attention(x, text, bias)
        hidden = F.gelu(self.mlp_in(self.norm_2(x) * (1 + s2) + b2), approximate="tanh")
        return x + g2 * self.mlp_out(hidden)


class DiT(nn.Module):
    """Patches, blocks and output layer: latents (B, C, h, w), condition c (B, width), text -> (B, C, h, w)."""

    positions: Tensor

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width, patch = config.width, config.patch
        self.patch = patch
        self.patch_embed = nn.Conv2d(config.latent_channels, width, patch, stride=patch)
        self.register_buffer("positions", sinusoidal_positions(width, config.size // patch), persistent=False)
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.norm_out = ChannelLayerNorm()
        self.modulation_out = nn.Linear(width, 2 * width)
        self.proj_out = nn.Conv2d(width, config.latent_channels * patch**2, 1)
        zero_(self.proj_out, self.modulation_out)
        for module in self.modules():
            if isinstance(module, DiTBlock):
                zero_(module.modulation)
            if isinstance(module, CrossAttention):
                zero_(module.to_out)

    def forward(
        self, latents: Tensor, c: Tensor, text: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        x = self.patch_embed(latents) + self.positions
        for block in self.blocks:
            x = block(x, c, text, bias)
        shift, scale = self.modulation_out(F.silu(c)).to(x.dtype)[..., None, None].chunk(2, dim=1)
        out = self.proj_out(self.norm_out(x) * (1 + scale) + shift)
        return F.pixel_shuffle(out, self.patch) if self.patch > 1 else out


class DiTDenoiser(nn.Module):
    """Velocity network with the interface of :class:`fewstep_models.sana.SanaDenoiser`; text is read by cross-attention.

    latents (B, C, h, w), timestep (B,) = 1000 sigma, text_states (B, L, text_dim), text_mask (B, L) -> velocity (B, C, h, w).
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        if not config.text_dim:
            raise ValueError("expected DiTConfig.text_dim above 0 for a network that reads text, found 0")
        self.config = config
        self.time = TimestepEmbedder(config.time_dim, config.width, config.time_shift)
        self.text = TextProjection(config.text_dim, config.width)
        self.dit = DiT(config)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        return self.dit(latents, self.time(timestep), self.text(text_states), mask_bias(text_mask))


class ClassDiT(nn.Module):
    """The published DiT: noise prediction eps(x_t, t, y) with class labels; label ``classes`` is the unconditional one.

    latents (B, C, h, w), timestep (B,), labels (B,) int64 -> (B, C, h, w).
    """

    def __init__(self, config: DiTConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.time = TimestepEmbedder(config.time_dim, config.width, config.time_shift)
        self.labels = nn.Embedding(classes + 1, config.width)
        self.dit = DiT(config)

    def forward(self, latents: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        return self.dit(latents, self.time(timestep) + self.labels(labels))

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load a ``DiTTransformer2DModel``; the learned variance, the second half of its outputs, is left out.

        Raises:
            FewstepError: a weight does not fit, or the blocks embed time or class in different ways.
        """
        state = patch_rows(_one_embedder(state), "proj_out_2", self.config.patch, self.config.latent_channels)
        load_renamed(self, state, _RULES)


_EMBEDDER = ".norm1.emb."
_RULES = (
    (r"^transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.", "time."),
    (r"^transformer_blocks\.0\.norm1\.emb\.class_embedder\.embedding_table\.", "labels."),
    (r"^transformer_blocks\.", "dit.blocks."),
    (r"\.norm1\.linear\.", ".modulation."),
    *fused("attn1", "attention.to_qkv"),
    (r"\.attn1\.to_out\.0\.", ".attention.to_out."),
    (r"\.ff\.net\.0\.proj\.", ".mlp_in."),
    (r"\.ff\.net\.2\.", ".mlp_out."),
    (r"^pos_embed\.proj\.", "dit.patch_embed."),
    (r"^proj_out_1\.", "dit.modulation_out."),
    (r"^proj_out_2\.", "dit.proj_out."),
)


def _one_embedder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the copies of the embedders of time and class that diffusers keeps in every block.

    Raises:
        FewstepError: one of them is not a copy.
    """
    for name, value in state.items():
        block, found, rest = name.partition(_EMBEDDER)
        if found and not torch.equal(value, state[f"transformer_blocks.0{_EMBEDDER}{rest}"]):
            raise FewstepError(
                f"expected all blocks to embed time and class alike, found another '{rest}' in '{block}'; "
                "such a DiT cannot be loaded"
            )
    return {
        name: v
        for name, v in state.items()
        if _EMBEDDER not in name or name.startswith("transformer_blocks.0.")
    }
