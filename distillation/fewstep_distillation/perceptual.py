"""Perceptual distance on MobileNetV2 features (Zhang et al. 2018 without learned weights)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.mobilenet import MobileNetV2

_STAGES = (0, 1, 2, 3)


class PerceptualDistance(nn.Module):
    """Mean squared distance of channel-normalised features at the end of the first stages; RGB (B, 3, H, W) in [0, 1] -> scalar."""

    def __init__(self, network: MobileNetV2 | None = None) -> None:
        super().__init__()
        self.network = network or MobileNetV2(_STAGES)

    @classmethod
    def from_pretrained(cls) -> "PerceptualDistance":
        """On the ImageNet weights, frozen."""
        return cls(MobileNetV2.from_pretrained(_STAGES)).eval().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = zip(self._stages(x), self._stages(y), strict=True)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in pairs]).mean()

    def _stages(self, rgb: Tensor) -> list[Tensor]:
        return [F.normalize(x.float(), dim=1, eps=1e-6) for x in self.network(rgb)]
