"""U-DiT, a U-shaped transformer that attends among downsampled tokens (Tian et al. 2024, arXiv:2405.02730)."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.attention import softmax_attention
from fewstep_models.layers import (
    ChannelLayerNorm,
    CrossAttention,
    HeadRMSNorm,
    TextProjection,
    TimestepEmbedder,
    mask_bias,
    zero_,
)
from fewstep_models.sizes import require_positive


@dataclass(frozen=True)
class UDiTConfig:
    """Sizes of a :class:`UDiTDenoiser`: ``depths`` blocks at each resolution on the way down, at the bottom (the last), and up again."""

    type: str = field(default="udit", init=False)

    latent_channels: int = 8
    size: int = 16
    width: int = 96
    depths: tuple[int, ...] = (2, 2, 4)
    head_channels: int = 32
    ffn_ratio: float = 2.0
    text_dim: int = 384
    time_dim: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(self, "latent_channels", "size", "width", "head_channels", "text_dim", "time_dim")
        if self.size % 2 ** len(self.depths):
            raise ValueError(f"UDiTConfig.size ({self.size}) cannot be halved {len(self.depths)} times")
        if self.width % self.head_channels or self.head_channels % 4:
            raise ValueError(
                f"UDiTConfig.width ({self.width}) must be a multiple of head_channels ({self.head_channels}), and that of 4"
            )

    def build(self) -> "UDiTDenoiser":
        """The network, with random weights."""
        return UDiTDenoiser(self)


def rotary_tables(head_channels: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (size^2, head_channels) of two-dimensional rotary positions (Su et al. 2021), half of the channels a direction."""
    quarter = head_channels // 4
    frequencies = 10000.0 ** -(torch.arange(quarter) / quarter)
    line = torch.arange(size).float()
    rows, columns = line.repeat_interleave(size), line.repeat(size)
    angles = torch.cat(
        [rows[:, None] * frequencies, columns[:, None] * frequencies], dim=-1
    )  # (size^2, d / 2)
    return angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x`` (..., N, d) turned by its positions, pairs (i, i + d/2): the real form of a complex product."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


class DownsampledAttention(nn.Module):
    """Softmax attention within each of the four interleaved half-size maps, with the same weights: a fourth of the cost.

    The maps come from a residual 5x5 depthwise convolution, which lets neighbours that land in different maps see each other. Scores
    are cosines, ``tau q^ . k^`` with a learned ``tau <= 100`` a head. (B, C, H, W) -> (B, C, H, W), H and W even.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, channels: int, head_channels: int, size: int) -> None:
        super().__init__()
        self.heads, self.head_channels = channels // head_channels, head_channels
        self.mix = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.norm_q, self.norm_k = HeadRMSNorm(head_channels), HeadRMSNorm(head_channels)
        self.log_scale = nn.Parameter(torch.full((self.heads, 1, 1), math.log(10.0)))
        self.to_out = nn.Conv2d(channels, channels, 1)
        for name, table in zip(("cos", "sin"), rotary_tables(head_channels, size // 2), strict=True):
            self.register_buffer(name, table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        q, k, v = (self.part(y) for y in self.to_qkv(x + self.mix(x)).chunk(3, dim=1))
        q, k = (
            rotate(y, self.cos.to(y.dtype), self.sin.to(y.dtype)) for y in (self.norm_q(q), self.norm_k(k))
        )
        out = softmax_attention(q * self.temperature().to(q.dtype), k, v)  # (B, 4 heads, N / 4, d)
        return self.to_out(self.join(out, h, w))

    def temperature(self) -> Tensor:
        """What makes q . k / sqrt(d) of the normed q and k (length sqrt(d)) the scaled cosine: (4 heads, 1, 1)."""
        return (self.log_scale.clamp(max=math.log(100.0)).exp() * self.head_channels**-0.5).repeat(4, 1, 1)

    def part(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 heads, N / 4, d): the maps of even and odd rows and columns, side by side as heads."""
        b, _, h, w = x.shape
        maps = torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)
        return maps.reshape(b, 4 * self.heads, self.head_channels, h * w // 4).transpose(-1, -2)

    def join(self, x: Tensor, h: int, w: int) -> Tensor:
        """The inverse of :meth:`part`."""
        b, n = x.shape[0], h * w // 4
        maps = x.transpose(-1, -2).reshape(b, 4, self.heads * self.head_channels, n).transpose(1, 2)
        return F.pixel_shuffle(maps.reshape(b, -1, h // 2, w // 2), 2)


class UDiTBlock(nn.Module):
    """adaLN-Zero around downsampled attention and a feed-forward with a residual 5x5 depthwise convolution; text in between."""

    def __init__(self, config: UDiTConfig, width: int, size: int) -> None:
        super().__init__()
        hidden = round(width * config.ffn_ratio)
        self.norm = ChannelLayerNorm()
        self.modulation = nn.Linear(config.width, 6 * width)
        self.attention = DownsampledAttention(width, config.head_channels, size)
        self.cross_attention = CrossAttention(width, config.head_channels, config.width)
        self.ffn_in = nn.Conv2d(width, hidden, 1)
        self.ffn_depth = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden)
        self.ffn_out = nn.Conv2d(hidden, width, 1)
        zero_(self.modulation, self.cross_attention.to_out)

    def forward(self, x: Tensor, c: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        """``x`` (B, width, h, w), c (B, first width), text (B, L, first width), bias (B, 1, 1, L)."""
        b1, s1, g1, b2, s2, g2 = self.modulation(F.silu(c)).to(x.dtype)[..., None, None].chunk(6, dim=1)
        x = x + g1 * self.attention(self.norm(x) * (1 + s1) + b1)
        x = x + self.cross_attention(x, text, bias)
        hidden = F.gelu(self.ffn_in(self.norm(x) * (1 + s2) + b2), approximate="tanh")
        return x + g2 * self.ffn_out(hidden + self.ffn_depth(hidden))


class Stage(nn.Module):
    """The blocks of one resolution."""

    def __init__(self, config: UDiTConfig, level: int) -> None:
        super().__init__()
        width, size = config.width * 2**level, config.size >> level
        self.blocks = nn.ModuleList(UDiTBlock(config, width, size) for _ in range(config.depths[level]))

    def forward(self, x: Tensor, c: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, c, text, bias)
        return x


class UDiTDenoiser(nn.Module):
    """Velocity network with the interface of :class:`fewstep_models.sana.SanaDenoiser`; width doubles as the map halves.

    latents (B, C, h, w), timestep (B,) = 1000 sigma, text_states (B, L, text_dim), text_mask (B, L) -> velocity (B, C, h, w).
    """

    def __init__(self, config: UDiTConfig) -> None:
        super().__init__()
        self.config = config
        levels = range(len(config.depths))
        widths = [config.width * 2**level for level in levels]
        self.embed = nn.Conv2d(config.latent_channels, config.width, 3, padding=1)
        self.time = TimestepEmbedder(config.time_dim, config.width)
        self.text = TextProjection(config.text_dim, config.width)
        self.down = nn.ModuleList(Stage(config, level) for level in levels)
        self.up = nn.ModuleList(Stage(config, level) for level in reversed(levels[:-1]))
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in reversed(pairs))
        self.merge = nn.ModuleList(nn.Conv2d(2 * a, a, 1) for a, _ in reversed(pairs))
        self.norm_out = ChannelLayerNorm()
        self.modulation_out = nn.Linear(config.width, 2 * config.width)
        self.proj_out = nn.Conv2d(config.width, config.latent_channels, 3, padding=1)
        zero_(self.proj_out, self.modulation_out)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        c, text, bias = self.time(timestep), self.text(text_states), mask_bias(text_mask)
        x, skips = self.embed(latents), []
        for level, stage in enumerate(self.down):
            x = stage(x, c, text, bias)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        for level, stage in enumerate(self.up):
            x = F.pixel_shuffle(self.grow[level](x), 2)
            x = stage(self.merge[level](torch.cat([x, skips.pop()], dim=1)), c, text, bias)
        shift, scale = self.modulation_out(F.silu(c)).to(x.dtype)[..., None, None].chunk(2, dim=1)
        return self.proj_out(self.norm_out(x) * (1 + scale) + shift)
