"""Layers shared by the autoencoder and the denoiser, written for export.

Everything works on NCHW maps with 1x1 convolutions, static spatial shapes, tensors of rank <= 4 and ops that ONNX Runtime, TensorRT
and Core ML all have.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(timestep: Tensor, dim: int, shift: int = 0) -> Tensor:
    """Sinusoidal embedding ``[cos(t w) | sin(t w)]`` with ``w_i = 10000^(-i / (dim/2 - shift))`` (Ho et al. 2020; order as in DiT).

    timestep (B,) float32 -> (B, dim) float32. Keep it in FP32: ``t w`` reaches 1000, where FP16 has a spacing of 0.5. A ``shift`` of
    1 is what DiT's weights in diffusers were trained with.
    """
    half = dim // 2
    frequencies = torch.exp(
        -math.log(10000.0) / (half - shift) * torch.arange(half, dtype=torch.float32, device=timestep.device)
    )
    angles = timestep.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def mask_bias(text_mask: Tensor) -> Tensor:
    """text_mask (B, L), 1 on tokens -> what to add to attention scores, (B, 1, 1, L): 0 on tokens, -1e4 (finite in FP16) on padding."""
    return ((text_mask - 1.0) * 1e4)[:, None, None, :]


def zero_(*layers: nn.Module) -> None:
    """Set all parameters of the layers to zero, so that a branch or a network starts as nothing."""
    for parameter in (p for layer in layers for p in layer.parameters()):
        nn.init.zeros_(parameter)


class TimestepEmbedder(nn.Module):
    """timestep (B,) -> (B, width): sinusoids, linear, SiLU, linear (DiT)."""

    def __init__(self, time_dim: int, width: int, shift: int = 0) -> None:
        super().__init__()
        self.time_dim, self.shift = time_dim, shift
        self.linear_1 = nn.Linear(time_dim, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, timestep: Tensor) -> Tensor:
        sinusoids = timestep_embedding(timestep, self.time_dim, self.shift)
        return self.linear_2(F.silu(self.linear_1(sinusoids)))


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


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018) of (B, C, H, W) with scale and bias.

    One LayerNormalization over (channels of a group, H, W) and an affine map, which every runtime has; the exporter's own translation
    computes shapes at run time, and ONNX's GroupNormalization is right from opset 21 only.
    """

    def __init__(self, groups: int, channels: int, eps: float) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        size = c // self.groups * h * w
        normalised = F.layer_norm(x.reshape(b, self.groups, size), (size,), eps=self.eps)
        return (
            normalised.reshape(b, c, h, w).to(x.dtype) * self.weight[:, None, None] + self.bias[:, None, None]
        )


class HeadRMSNorm(nn.Module):
    """RMSNorm over the last dimension of q or k (B, heads, N, d) with a scale (Henry et al. 2020; SD 3.5)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


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
    """Softmax attention from image positions (B, C, H, W) to text states (B, L, text_dim); padded text is masked with -1e4.

    ``text_dim`` is ``channels`` unless given; ``qkv_bias`` gives q, k and v a bias.
    """

    def __init__(
        self, channels: int, head_channels: int, text_dim: int | None = None, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels ({channels}) must be a multiple of head_channels ({head_channels})")
        self.heads = channels // head_channels
        self.to_q = nn.Conv2d(channels, channels, 1, bias=qkv_bias)
        self.to_kv = nn.Linear(text_dim or channels, 2 * channels, bias=qkv_bias)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor, mask_bias: Tensor) -> Tensor:
        """``mask_bias`` (B, 1, 1, L) is added to the scores: 0 on tokens, -1e4 on padding."""
        b, c, h, w = x.shape
        d = c // self.heads
        q = self.to_q(x).reshape(b, self.heads, d, h * w).transpose(-1, -2) * d**-0.5
        k, v = self.to_kv(text).reshape(b, text.shape[1], 2 * self.heads, d).transpose(1, 2).chunk(2, dim=1)
        weights = ((q @ k.transpose(-1, -2)).float() + mask_bias).softmax(-1).to(v.dtype)  # (B, heads, N, L)
        return self.to_out((weights @ v).transpose(-1, -2).reshape(b, c, h, w))
