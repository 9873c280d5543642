"""Self-attention over the positions of a map (B, C, H, W), in exchangeable kinds."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.kernel_attention import KernelLinearAttention
from fewstep_models.layers import HeadRMSNorm, LinearAttention
from fewstep_models.linfusion import GeneralisedLinearAttention

AttentionKind = Literal["softmax", "relu", "elu", "linfusion"]
KINDS: tuple[str, ...] = get_args(AttentionKind)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """``softmax(q k^T / sqrt(d) + bias) v``: q (B, heads, N, d), k and v (B, heads, M, d), bias (B, 1, 1, M) -> (B, heads, N, d).

    torch runs its fused kernel, which never holds all scores. The exporter would surround that with shapes computed at run time, so
    a graph gets the three operators themselves; q carries the scale, which keeps the scores small in FP16.
    """
    if not torch.compiler.is_exporting():
        # The fused kernels want the channels of a position next to each other; without that torch falls back to holding the scores.
        return F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous(), bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (scores if bias is None else scores + bias).softmax(-1) @ v


class SelfAttention(nn.Module):
    """``o = softmax(q^T k / sqrt(d)) v`` per head (Vaswani et al. 2017); heads are consecutive groups of channels.

    ``qk_norm`` puts an RMSNorm on q and k.
    """

    def __init__(
        self, channels: int, head_channels: int, qkv_bias: bool = True, qk_norm: bool = False
    ) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels ({channels}) must be a multiple of head_channels ({head_channels})")
        self.head_channels = head_channels
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=qkv_bias)
        self.norm_q = HeadRMSNorm(head_channels) if qk_norm else nn.Identity()
        self.norm_k = HeadRMSNorm(head_channels) if qk_norm else nn.Identity()
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.to_qkv(x).reshape(b, 3 * c // self.head_channels, self.head_channels, h * w)
        q, k, v = qkv.transpose(-1, -2).chunk(3, dim=1)  # each (B, heads, N, d)
        out = softmax_attention(self.norm_q(q), self.norm_k(k), v)
        return self.to_out(out.transpose(-1, -2).reshape(b, c, h, w))


def self_attention(
    kind: AttentionKind, channels: int, head_channels: int, qkv_bias: bool = True
) -> nn.Module:
    """A layer (B, C, H, W) -> (B, C, H, W): softmax (quadratic), or ReLU, elu+1 or LinFusion's linear attention."""
    if kind == "softmax":
        return SelfAttention(channels, head_channels, qkv_bias)
    if kind == "relu":
        return LinearAttention(channels, head_channels)
    if kind == "elu":
        return KernelLinearAttention(channels, head_channels, qkv_bias)
    if kind == "linfusion":
        return GeneralisedLinearAttention(channels, head_channels, qkv_bias)
    raise ValueError(f"attention must be one of {', '.join(KINDS)}, found {kind!r}")
