"""Layers shared by the autoencoder and the denoiser, written for export.

Everything works on NCHW maps with 1x1 convolutions, static spatial shapes, tensors of rank <= 4 and ops that ONNX Runtime, TensorRT
and Core ML all have.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(timestep: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding ``[cos(t w) | sin(t w)]`` with ``w_i = 10000^(-i / (dim/2))`` (Ho et al. 2020; order as in DiT).

    timestep (B,) float32 -> (B, dim) float32. Keep it in FP32: ``t w`` reaches 1000, where FP16 has a spacing of 0.5.
    """
    half = dim // 2
    frequencies = torch.exp(
        -math.log(10000.0) / half * torch.arange(half, dtype=torch.float32, device=timestep.device)
    )
    angles = timestep.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of (B, C, H, W), without affine parameters (they come from the modulation)."""

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        centred = x32 - x32.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        return (centred * torch.rsqrt(variance + self.eps)).to(x.dtype)


class ChannelRMSNorm(nn.Module):
    """RMSNorm over the channels of (B, C, H, W) with scale and bias (DC-AE, Chen et al. 2024)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        normalised = x32 * torch.rsqrt(x32.square().mean(1, keepdim=True) + self.eps)
        return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class LinearAttention(nn.Module):
    """ReLU linear attention (Katharopoulos et al. 2020; Cai et al. 2023; the LiteLA of Sana).

    ``o_i = relu(q_i) (sum_j relu(k_j) v_j^T) / (relu(q_i) . sum_j relu(k_j))`` per head, full sums (not causal). ``1/N`` is folded
    into k, so that both sums are means and stay in the range of FP16; numerator and denominator are computed in FP32.

    ``eps`` is added to the denominator. The output does not depend on the length of q, so its gradient grows as 1/|q|; where a
    head's q is almost all negative (one token in 600 at the start) that gives gradient norms of 1e4 unless eps is of the order of
    the denominator (about 2). Sana's own weights use 1e-15, which exporters delete: keep eps above 1e-8.
    """

    def __init__(self, channels: int, head_channels: int = 32, eps: float = 0.1) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels ({channels}) must be a multiple of head_channels ({head_channels})")
        self.head_channels, self.eps = head_channels, eps
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        n, d = h * w, self.head_channels
        qkv = self.to_qkv(x).reshape(b, 3 * c // d, d, n)
        q, k, v = qkv.chunk(3, dim=1)  # each (B, heads, d, N)
        with torch.autocast(device_type=x.device.type, enabled=False):
            q, k, v = F.relu(q.float()), F.relu(k.float()) * (1.0 / n), v.float()
            context = v @ k.transpose(-1, -2)  # (B, heads, d, d)
            numerator = context @ q
            denominator = k.sum(-1, keepdim=True).transpose(-1, -2) @ q  # (B, heads, 1, N)
            out = numerator / (denominator + self.eps)
        return self.to_out(out.to(x.dtype).reshape(b, c, h, w))


class MixFFN(nn.Module):
    """Gated feed-forward with a depthwise 3x3 convolution (GLUMBConv of DC-AE, Mix-FFN of Sana).

    ``1x1 -> SiLU -> depthwise 3x3 -> split (a, g) -> a SiLU(g) -> 1x1``. The zero padding of its depthwise convolution is what tells a
    backbone without positional embedding where it is.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = round(channels * ratio)
        self.conv_inverted = nn.Conv2d(channels, 2 * hidden, 1)
        self.conv_depth = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.conv_point = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a, g = self.conv_depth(F.silu(self.conv_inverted(x))).chunk(2, dim=1)
        return self.conv_point(a * F.silu(g))


class CrossAttention(nn.Module):
    """Softmax attention from image positions (B, C, H, W) to text states (B, L, C); padded text is masked with -1e4."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels ({channels}) must be a multiple of head_channels ({head_channels})")
        self.heads = channels // head_channels
        self.to_q = nn.Conv2d(channels, channels, 1)
        self.to_kv = nn.Linear(channels, 2 * channels)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor, mask_bias: Tensor) -> Tensor:
        """``mask_bias`` (B, 1, 1, L) is added to the scores: 0 on tokens, -1e4 on padding."""
        b, c, h, w = x.shape
        d = c // self.heads
        q = self.to_q(x).reshape(b, self.heads, d, h * w).transpose(-1, -2) * d**-0.5
        k, v = self.to_kv(text).reshape(b, text.shape[1], 2 * self.heads, d).transpose(1, 2).chunk(2, dim=1)
        weights = ((q @ k.transpose(-1, -2)).float() + mask_bias).softmax(-1).to(v.dtype)  # (B, heads, N, L)
        return self.to_out((weights @ v).transpose(-1, -2).reshape(b, c, h, w))
