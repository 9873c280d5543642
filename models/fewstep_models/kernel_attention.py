"""Linear attention with the feature map elu + 1 (Katharopoulos et al. 2020, arXiv:2006.16236), a drop-in for softmax attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def elu_plus_one(x: Tensor) -> Tensor:
    """``phi(x) = elu(x) + 1``: ``x + 1`` above zero, ``exp(x)`` below, so that no head is ever dead.

    Written as a sum without cancellation: adding 1 to ``elu(x)`` near -1 would leave no digits of ``exp(x)``, which the ratio needs.
    """
    return x.clamp(max=0.0).exp() + F.relu(x)


def normalised_linear_attention(q: Tensor, k: Tensor, v: Tensor, eps: float) -> Tensor:
    """``o_i = (sum_j v_j k_j^T) q_i / (q_i . sum_j k_j + eps)`` with sums taken as means over the N positions.

    q, k (B, heads, d, N) not negative, v (B, heads, e, N) -> (B, heads, e, N). ``1/sqrt(N)`` is folded into k and into v, so that
    the context matrix stays in the range of FP16 at any N, and k above its subnormals (LinFusion, arXiv:2409.02097).
    """
    n = q.shape[-1]
    context = (v * n**-0.5) @ (k * n**-0.5).transpose(-1, -2)  # (B, heads, e, d)
    denominator = k.mean(-1, keepdim=True).transpose(-1, -2) @ q  # (B, heads, 1, N)
    return (context @ q) / (denominator + eps)


class KernelLinearAttention(nn.Module):
    """``o = (sum_j v_j phi(k_j)^T) phi(q_i) / (phi(q_i) . sum_j phi(k_j))`` per head, full sums (equation 5 of the paper; not causal).

    (B, C, H, W) -> (B, C, H, W), with the weights of softmax attention; computed in FP32.
    """

    def __init__(
        self, channels: int, head_channels: int = 32, qkv_bias: bool = False, eps: float = 1e-6
    ) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels ({channels}) must be a multiple of head_channels ({head_channels})")
        self.head_channels, self.eps = head_channels, eps
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=qkv_bias)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.to_qkv(x).reshape(b, 3 * c // self.head_channels, self.head_channels, h * w)
        q, k, v = qkv.chunk(3, dim=1)  # each (B, heads, d, N)
        with torch.autocast(device_type=x.device.type, enabled=False):
            q, k, v = elu_plus_one(q.float()), elu_plus_one(k.float()), v.float()
            out = normalised_linear_attention(q, k, v, self.eps)
        return self.to_out(out.to(x.dtype).reshape(b, c, h, w))
