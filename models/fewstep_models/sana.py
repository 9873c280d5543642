"""Sana's linear diffusion transformer (Xie et al. 2024, arXiv:2410.10629), small enough for a phone."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.layers import (
    ChannelLayerNorm,
    CrossAttention,
    LinearAttention,
    MixFFN,
    timestep_embedding,
)


@dataclass(frozen=True)
class SanaConfig:
    """Sizes of a :class:`SanaDenoiser`.

    ``latent_channels`` and ``size`` give the latent (C, size, size); ``text_dim`` is the width of the text states.
    """

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

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        for field in ("latent_channels", "size", "width", "depth", "text_dim", "time_dim"):
            if getattr(self, field) < 1:
                raise ValueError(f"SanaConfig.{field} must be positive, found {getattr(self, field)}")


class TextProjection(nn.Module):
    """Text states (B, L, text_dim) -> (B, L, width): linear, GELU, linear, RMSNorm whose weight starts at 0.01 (Sana)."""

    def __init__(self, text_dim: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(text_dim, width)
        self.linear_2 = nn.Linear(width, width)
        self.norm_weight = nn.Parameter(torch.full((width,), 0.01))

    def forward(self, text_states: Tensor) -> Tensor:
        x = self.linear_2(F.gelu(self.linear_1(text_states), approximate="tanh"))
        x32 = x.float()
        return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + 1e-5) * self.norm_weight).to(x.dtype)


class TimeEmbedding(nn.Module):
    """timestep (B,) -> e (B, width) and the six shared modulation vectors (B, 6 width) (adaLN-single, PixArt-alpha)."""

    def __init__(self, time_dim: int, width: int) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.linear_1 = nn.Linear(time_dim, width)
        self.linear_2 = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        e = self.linear_2(F.silu(self.linear_1(timestep_embedding(timestep, self.time_dim))))
        return e, self.modulation(F.silu(e))


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
    all float32 -> velocity (B, C, h, w). No positional embedding: the padding of the 3x3 convolutions gives the place.
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

    def _initialise(self) -> None:
        """Output layers start at zero, so that the untrained network predicts no velocity and cross-attention adds nothing yet."""
        nn.init.normal_(self.time.modulation.weight, std=0.02)
        zeroed = [self.proj_out, *(m.to_out for m in self.modules() if isinstance(m, CrossAttention))]
        for parameter in (p for layer in zeroed for p in layer.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        e, modulation = self.time(timestep)
        modulation = modulation.unflatten(1, (6, self.config.width))
        text = self.text(text_states)
        mask_bias = ((text_mask - 1.0) * 1e4)[:, None, None, :]
        x = self.patch_embed(latents)
        for block in self.blocks:
            x = block(x, text, mask_bias, modulation)
        shift, scale = (self.scale_shift_table + e[:, None]).to(x.dtype)[..., None, None].unbind(1)
        return self.proj_out(self.norm_out(x) * (1 + scale) + shift)
