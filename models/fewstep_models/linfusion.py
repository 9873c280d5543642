"""LinFusion's generalised linear attention (Liu et al. 2024, arXiv:2409.02097), a drop-in for a U-Net's self-attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.kernel_attention import elu_plus_one, normalised_linear_attention
from fewstep_models.layers import ChannelLayerNorm, zero_


class ProjectionMLP(nn.Module):
    """``x + Linear(LeakyReLU(LN(Linear(x))))`` with a bottleneck: what q and k are read from; the last layer starts at zero."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, bottleneck, 1)
        self.norm = ChannelLayerNorm(1e-5)
        self.norm_weight = nn.Parameter(torch.ones(bottleneck))
        self.norm_bias = nn.Parameter(torch.zeros(bottleneck))
        self.up = nn.Conv2d(bottleneck, channels, 1)
        zero_(self.up)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.down(x)) * self.norm_weight[:, None, None] + self.norm_bias[:, None, None]
        return x + self.up(F.leaky_relu(hidden))


class GeneralisedLinearAttention(nn.Module):
    """Normalisation-aware, non-causal linear attention: ``o_i = (mean_j v_j k_j^T) q_i / (q_i . mean_j k_j)`` per head.

    ``q = phi(W_q f(x))`` and ``k = phi(W_k g(x))`` with ``phi = elu + 1`` and f, g of :class:`ProjectionMLP`; ``v = W_v x``. W_q, W_k,
    W_v and W_o are those of the softmax attention that it replaces. (B, C, H, W) -> (B, C, H, W); computed in FP32.
    """

    def __init__(
        self, channels: int, head_channels: int = 32, qkv_bias: bool = False, eps: float = 1e-4
    ) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels ({channels}) must be a multiple of head_channels ({head_channels})")
        self.head_channels, self.eps = head_channels, eps
        bottleneck = max(channels // 4, 8)
        self.project_q, self.project_k = (ProjectionMLP(channels, bottleneck) for _ in range(2))
        self.to_q, self.to_k, self.to_v = (nn.Conv2d(channels, channels, 1, bias=qkv_bias) for _ in range(3))
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = (
            y.reshape(b, c // self.head_channels, self.head_channels, h * w)
            for y in (self.to_q(self.project_q(x)), self.to_k(self.project_k(x)), self.to_v(x))
        )
        with torch.autocast(device_type=x.device.type, enabled=False):
            q, k = elu_plus_one(q.float()), elu_plus_one(k.float())
            out = normalised_linear_attention(q, k, v.float(), self.eps)
        return self.to_out(out.to(x.dtype).reshape(b, c, h, w))
