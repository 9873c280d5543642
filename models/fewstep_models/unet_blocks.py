"""The two blocks of a U-Net: residual convolutions, and transformers over the positions of a map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.attention import AttentionKind, self_attention
from fewstep_models.layers import ChannelLayerNorm, CrossAttention, GroupNorm


class AffineLayerNorm(nn.Module):
    """LayerNorm over the channels of (B, C, H, W) with scale and bias."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(eps)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.weight[:, None, None] + self.bias[:, None, None]


class ResBlock(nn.Module):
    """``shortcut(x) + conv2(SiLU(GN(conv1(SiLU(GN(x))) + W SiLU(e))))``: x (B, C, H, W), e (B, time) -> (B, width, H, W)."""

    def __init__(self, channels: int, width: int, time: int, groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, channels, eps=1e-5)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Linear(time, width)
        self.norm2 = GroupNorm(groups, width, eps=1e-5)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(e))[..., None, None]
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class TransformerBlock(nn.Module):
    """``x += Attn(LN x);  x += CrossAttn(LN x, text);  x += W (a GELU(g))`` with ``(a, g) = V LN(x)`` (GEGLU, erf)."""

    def __init__(self, width: int, heads: int, text_dim: int, attention: AttentionKind) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (AffineLayerNorm(width) for _ in range(3))
        self.attention = self_attention(attention, width, width // heads, qkv_bias=False)
        self.cross_attention = CrossAttention(width, width // heads, text_dim, qkv_bias=False)
        self.ffn_in = nn.Conv2d(width, 8 * width, 1)
        self.ffn_out = nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        x = x + self.cross_attention(self.norm2(x), text, bias)
        a, g = self.ffn_in(self.norm3(x)).chunk(2, dim=1)
        return x + self.ffn_out(a * F.gelu(g))


class SpatialTransformer(nn.Module):
    """GroupNorm, 1x1 convolution, transformer blocks, 1x1 convolution, and the input added."""

    def __init__(
        self, width: int, heads: int, depth: int, text_dim: int, groups: int, attention: AttentionKind
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, text_dim, attention) for _ in range(depth))
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        """``x`` (B, width, H, W), text (B, L, text_dim), bias (B, 1, 1, L) -> (B, width, H, W)."""
        hidden = self.proj_in(self.norm(x))
        for block in self.blocks:
            hidden = block(hidden, text, bias)
        return x + self.proj_out(hidden)
