"""A diffusion backbone of bidirectional Mamba-2 blocks (Dao & Gu 2024, arXiv:2405.21060), conditioned like DiT."""

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.layers import (
    ChannelLayerNorm,
    ChannelRMSNorm,
    CrossAttention,
    TextProjection,
    TimestepEmbedder,
    mask_bias,
    zero_,
)
from fewstep_models.sizes import require_positive
from fewstep_models.ssd import SSD


@dataclass(frozen=True)
class Mamba2Config:
    """Sizes of a :class:`Mamba2Denoiser`; the inner width of a mixer is ``expand * width``, a position's state ``states`` a channel."""

    type: str = field(default="mamba2", init=False)

    latent_channels: int = 8
    size: int = 16
    width: int = 256
    depth: int = 8
    expand: int = 2
    states: int = 64
    head_channels: int = 64
    kernel: int = 4
    chunk: int = 64
    cross_head_channels: int = 64
    text_dim: int = 384
    time_dim: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(
            self, "latent_channels", "size", "width", "depth", "expand", "states", "chunk", "text_dim"
        )
        if self.size**2 % min(self.chunk, self.size**2):
            raise ValueError(f"Mamba2Config.chunk ({self.chunk}) must divide the {self.size**2} positions")
        if self.expand * self.width % self.head_channels:
            raise ValueError(
                f"Mamba2Config.head_channels ({self.head_channels}) must divide expand * width ({self.expand * self.width})"
            )

    def build(self) -> "Mamba2Denoiser":
        """The network, with random weights."""
        return Mamba2Denoiser(self)


class Mamba2(nn.Module):
    """Mamba-2's mixer over a sequence (B, width, L), from its start or, with ``reverse``, from its end.

    ``z, xBC, dt = W_in u; x, B, C = SiLU(conv(xBC)); y = SSD(x, dt, B, C); W_out RMSNorm(y SiLU(z))`` with a depthwise convolution that
    looks back only.
    """

    def __init__(self, config: Mamba2Config, reverse: bool) -> None:
        super().__init__()
        inner, states = config.expand * config.width, config.states
        self.heads, self.reverse, self.reach = inner // config.head_channels, reverse, config.kernel - 1
        self.sizes = (inner, inner + 2 * states, self.heads)
        self.inner = (inner, states, states)
        self.in_proj = nn.Conv1d(config.width, sum(self.sizes), 1, bias=False)
        self.conv = nn.Conv1d(
            inner + 2 * states, inner + 2 * states, config.kernel, groups=inner + 2 * states
        )
        self.ssd = SSD(self.heads, min(config.chunk, config.size**2), reverse)
        self.norm = ChannelRMSNorm(inner)
        self.out_proj = nn.Conv1d(inner, config.width, 1, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        b, _, length = u.shape
        z, mixed, dt = self.in_proj(u).split(self.sizes, dim=1)
        padding = (0, self.reach) if self.reverse else (self.reach, 0)
        x, state_in, state_out = F.silu(self.conv(F.pad(mixed, padding))).split(self.inner, dim=1)
        heads = x.reshape(b, self.heads, -1, length).transpose(-1, -2)  # (B, heads, L, p)
        y = self.ssd(heads, dt, state_in.transpose(1, 2), state_out.transpose(1, 2))
        y = y.transpose(-1, -2).reshape(b, -1, length).to(u.dtype) * F.silu(z)
        return self.out_proj(self.norm(y[..., None])[..., 0])


class Mamba2Block(nn.Module):
    """``x += g (Forward(y) + Backward(y)), y = LN(x)(1+s)+b;  x += CrossAttn(x, text)`` (adaLN-Zero)."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm()
        self.modulation = nn.Linear(config.width, 3 * config.width)
        self.ahead, self.behind = Mamba2(config, reverse=False), Mamba2(config, reverse=True)
        self.cross_attention = CrossAttention(config.width, config.cross_head_channels)

    def forward(self, x: Tensor, c: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        """``x`` (B, width, h, w), c (B, width), text (B, L, width), bias (B, 1, 1, L)."""
        shift, scale, gate = self.modulation(F.silu(c)).to(x.dtype)[..., None, None].chunk(3, dim=1)
        sequence = (self.norm(x) * (1 + scale) + shift).flatten(2)
        x = x + gate * (self.ahead(sequence) + self.behind(sequence)).reshape(x.shape)
        return x + self.cross_attention(x, text, bias)


class Mamba2Denoiser(nn.Module):
    """Velocity network with the interface of :class:`fewstep_models.sana.SanaDenoiser`; positions are read row by row.

    latents (B, C, h, w), timestep (B,) = 1000 sigma, text_states (B, L, text_dim), text_mask (B, L) -> velocity (B, C, h, w).
    """

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Conv2d(config.latent_channels, config.width, 1)
        self.time = TimestepEmbedder(config.time_dim, config.width)
        self.text = TextProjection(config.text_dim, config.width)
        self.blocks = nn.ModuleList(Mamba2Block(config) for _ in range(config.depth))
        self.norm_out = ChannelLayerNorm()
        self.modulation_out = nn.Linear(config.width, 2 * config.width)
        self.proj_out = nn.Conv2d(config.width, config.latent_channels, 1)
        zero_(self.proj_out, self.modulation_out)
        for module in self.modules():
            if isinstance(module, Mamba2Block):
                zero_(module.modulation, module.cross_attention.to_out)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        c, text, bias = self.time(timestep), self.text(text_states), mask_bias(text_mask)
        x = self.embed(latents)
        for block in self.blocks:
            x = block(x, c, text, bias)
        shift, scale = self.modulation_out(F.silu(c)).to(x.dtype)[..., None, None].chunk(2, dim=1)
        return self.proj_out(self.norm_out(x) * (1 + scale) + shift)
