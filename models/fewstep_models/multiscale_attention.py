"""Linear attention over several views of its tokens, that of EfficientViT and DC-AE."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FurtherView(nn.Module):
    """q, k and v seen through a depthwise convolution, mixed within a head's q, k or v."""

    def __init__(self, channels: int, head_channels: int, kernel: int) -> None:
        super().__init__()
        total = 3 * channels
        self.proj_in = nn.Conv2d(total, total, kernel, padding=kernel // 2, groups=total, bias=False)
        self.proj_out = nn.Conv2d(total, total, 1, groups=total // head_channels, bias=False)

    def forward(self, qkv: Tensor) -> Tensor:
        return self.proj_out(self.proj_in(qkv))


class MultiscaleLinearAttention(nn.Module):
    """ReLU linear attention whose heads see their tokens at several scales (Cai et al. 2023, arXiv:2205.14756).

    The channels are (heads, q k v, d) here, unlike in :class:`fewstep_models.layers.LinearAttention`. ``1/N`` is folded into k and the sums
    stay in FP32, as there. The published code adds 1e-15 to the denominator, which exporters delete; here it is 1e-12 at least, as a
    head that is almost dead has one of 1e-6 and its output is normalised up.
    """

    def __init__(self, channels: int, head_channels: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.head_channels = head_channels
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.views = nn.ModuleList(FurtherView(channels, head_channels, kernel) for kernel in scales)
        self.to_out = nn.Conv2d(channels * (1 + len(scales)), channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        n, d = h * w, self.head_channels
        qkv = self.to_qkv(x)
        views = torch.cat([qkv, *(view(qkv) for view in self.views)], dim=1)
        with torch.autocast(device_type=x.device.type, enabled=False):
            q, k, v = views.float().reshape(b, views.shape[1] // (3 * d), 3 * d, n).chunk(3, dim=2)
            q, k = F.relu(q), F.relu(k) * (1.0 / n)
            denominator = k.sum(-1, keepdim=True).transpose(-1, -2) @ q  # (B, heads, 1, N)
            out = (v @ k.transpose(-1, -2)) @ q / denominator.clamp(min=1e-12)
        return self.to_out(out.to(x.dtype).reshape(b, views.shape[1] // 3, h, w))
