"""Sana's linear diffusion transformer (Xie et al. 2024, arXiv:2410.10629), small enough for a phone."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.diffusers_weights import fused, load_renamed
from fewstep_models.layers import (
    ChannelLayerNorm,
    CrossAttention,
    LinearAttention,
    MixFFN,
    TextProjection,
    mask_bias,
    timestep_embedding,
    zero_,
)
from fewstep_models.sizes import require_positive


@dataclass(frozen=True)
class SanaConfig:
    """Sizes of a :class:`SanaDenoiser`.

    ``latent_channels`` and ``size`` give the latent (C, size, size); ``text_dim`` is the width of the text states. ``positions``: a learnt
    vector for each row and each column is added to the first features. A deep network needs none: the padding of its 3x3 convolutions
    tells it the place. That goes no further from the edge than there are blocks.
    """

    type: str = field(default="sana", init=False)

    latent_channels: int = 8
    size: int = 16
    width: int = 256
    depth: int = 10
    head_channels: int = 32
    cross_head_channels: int = 64
    ffn_ratio: float = 2.5
    text_dim: int = 384
    time_dim: int = 256
    attention_eps: float = 0.1
    positions: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(self, "latent_channels", "size", "width", "depth", "text_dim", "time_dim")

    def build(self) -> "SanaDenoiser":
        """The network, with random weights."""
        return SanaDenoiser(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "SanaConfig":
        """The sizes in the ``config.json`` of a ``SanaTransformer2DModel``.

        Raises:
            FewstepError: it has parts that this network has not.
        """
        for key, value in _PLAIN.items():
            if config.get(key, value) != value:
                raise FewstepError(
                    f"expected a Sana with {key} {value}, found {config[key]}; such a model cannot be loaded here"
                )
        return cls(
            latent_channels=config["in_channels"],
            size=config["sample_size"],
            width=config["num_attention_heads"] * config["attention_head_dim"],
            depth=config["num_layers"],
            head_channels=config["attention_head_dim"],
            cross_head_channels=config["cross_attention_head_dim"],
            ffn_ratio=config["mlp_ratio"],
            text_dim=config["caption_channels"],
            attention_eps=1e-7,  # theirs is 1e-15, which is 0 in FP16 and makes 0 / 0 of a dead head
        )


_PLAIN: Mapping[str, object] = {
    "patch_size": 1,
    "attention_bias": False,
    "qk_norm": None,
    "guidance_embeds": False,
    "interpolation_scale": None,
}
"""What :class:`SanaDenoiser` is written for: neither positions (the 2K and 4K models) nor norms of q and k (Sprint)."""


class TimeEmbedding(nn.Module):
    """timestep (B,) -> e (B, width) and the six shared modulation vectors (B, 6 width) (adaLN-single, PixArt-alpha)."""

    def __init__(self, time_dim: int, width: int) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.linear_1 = nn.Linear(time_dim, width)
        self.linear_2 = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        e = self.embed(timestep)
        return e, self.modulation(F.silu(e))

    def embed(self, timestep: Tensor) -> Tensor:
        """The embedding of time (B, width)."""
        e: Tensor = self.linear_2(F.silu(self.linear_1(timestep_embedding(timestep, self.time_dim))))
        return e


class SanaBlock(nn.Module):
    """Linear self-attention, cross-attention to text, Mix-FFN; the first and last are modulated and gated by time.

    ``x += g1 LinAttn(LN(x)(1+s1)+b1);  x += CrossAttn(x, text);  x += g2 MixFFN(LN(x)(1+s2)+b2)`` with
    ``(b1, s1, g1, b2, s2, g2) = table + modulation(t)``.
    """

    def __init__(self, config: SanaConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = ChannelLayerNorm()
        self.attention = LinearAttention(width, config.head_channels, config.attention_eps)
        self.cross_attention = CrossAttention(width, config.cross_head_channels)
        self.ffn = MixFFN(width, config.ffn_ratio)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, x: Tensor, text: Tensor, mask_bias: Tensor, modulation: Tensor) -> Tensor:
        """``modulation`` (B, 6, width)."""
        rows = (self.scale_shift_table + modulation).to(x.dtype)[..., None, None]
        b1, s1, g1, b2, s2, g2 = rows.unbind(1)  # each (B, width, 1, 1)
        x = x + g1 * self.attention(self.norm(x) * (1 + s1) + b1)
        x = x + self.cross_attention(x, text, mask_bias)
        return x + g2 * self.ffn(self.norm(x) * (1 + s2) + b2)


class SanaDenoiser(nn.Module):
    """Velocity network ``u(x_t, t, text)`` of a rectified flow, ``u = noise - x0``.

    latents (B, C, h, w), timestep (B,) = 1000 sigma, text_states (B, L, text_dim), text_mask (B, L) with 1 on tokens and 0 on padding,
    all float32 -> velocity (B, C, h, w).
    """

    def __init__(self, config: SanaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embed = nn.Conv2d(config.latent_channels, width, 1)
        self.time = TimeEmbedding(config.time_dim, width)
        self.text = TextProjection(config.text_dim, width)
        self.blocks = nn.ModuleList(SanaBlock(config) for _ in range(config.depth))
        self.norm_out = ChannelLayerNorm()
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.proj_out = nn.Conv2d(width, config.latent_channels, 1)
        self._initialise()
        if config.positions:
            self._tables_of_positions()

    def _initialise(self) -> None:
        """Output layers start at zero, so that the untrained network predicts no velocity and cross-attention adds nothing yet."""
        nn.init.normal_(self.time.modulation.weight, std=0.02)
        zero_(self.proj_out, *(m.to_out for m in self.modules() if isinstance(m, CrossAttention)))

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        e, modulation = self.time(timestep)
        modulation = modulation.unflatten(1, (6, self.config.width))
        text = self.text(text_states)
        bias = mask_bias(text_mask)
        x = self.patch_embed(latents)
        if self.config.positions:
            x = x + self.rows + self.columns
        for block in self.blocks:
            x = block(x, text, bias, modulation)
        shift, scale = (self.scale_shift_table + e[:, None]).to(x.dtype)[..., None, None].unbind(1)
        return self.proj_out(self.norm_out(x) * (1 + scale) + shift)

    def add_positions(self) -> None:
        """Give a network without positions tables of zeros, which change nothing yet."""
        if not self.config.positions:
            self.config = dataclasses.replace(self.config, positions=True)
            self._tables_of_positions()

    def _tables_of_positions(self) -> None:
        width, size = self.config.width, self.config.size
        device = self.proj_out.weight.device
        self.rows = nn.Parameter(torch.zeros(width, size, 1, device=device))
        self.columns = nn.Parameter(torch.zeros(width, 1, size, device=device))

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load a ``SanaTransformer2DModel``.

        Raises:
            FewstepError: a weight does not fit.
        """
        load_renamed(self, state, _RULES)


_RULES = (
    (r"^transformer_blocks\.", "blocks."),
    *fused("attn1", "attention.to_qkv"),
    (r"\.attn1\.to_out\.0\.", ".attention.to_out."),
    *fused("attn2", "cross_attention.to_kv", ("to_k", "to_v")),
    (r"\.attn2\.to_q\.", ".cross_attention.to_q."),
    (r"\.attn2\.to_out\.0\.", ".cross_attention.to_out."),
    (r"\.ff\.", ".ffn."),
    (r"^patch_embed\.proj\.", "patch_embed."),
    (r"^time_embed\.emb\.timestep_embedder\.", "time."),
    (r"^time_embed\.linear\.", "time.modulation."),
    (r"^caption_projection\.", "text."),
    (r"^caption_norm\.weight$", "text.norm_weight"),
)
