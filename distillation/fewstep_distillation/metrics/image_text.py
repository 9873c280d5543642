"""How well a picture fits a text: a small head that maps frozen image and text features into one space, as CLIP does.

Radford et al. 2021 (arXiv:2103.00020): two encoders, here two-layer heads on EfficientNet-lite0 features
(1280) and on mean-pooled MiniLM states (384), trained with the symmetric InfoNCE loss over the B pairs (u_i,
v_i) of a batch, unit vectors all,

    L = -1/(2B) sum_i [log softmax_j(s u_i . v_j)_i + log softmax_j(s v_i . u_j)_i]        with a learned scale s <= 100.

No general CLIP knows emoji or fits into this repository. The shipped head is trained on the training split
alone, so the concepts of the `zero` split are as new to it as to the generator; the JSON file beside the
weights says how well it retrieves them. Read its scores beside those of real pictures.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.metrics.cache import Array
from fewstep_models import zoo
from fewstep_models.checkpoint import load_weights

WEIGHTS = zoo.FOLDER / "emoji-128" / "image_text_head.safetensors"
_MAX_SCALE = 100.0


@dataclass(frozen=True)
class ImageTextConfig:
    """Sizes of the head; the defaults are those of the shipped weights."""

    image_dim: int = 1280
    text_dim: int = 384
    hidden: int = 256
    width: int = 128
    dropout: float = 0.3


class ImageTextHead(nn.Module):
    """Image features (N, 1280) and text features (N, 384) -> unit vectors (N, 128) of one space."""

    def __init__(self, config: ImageTextConfig | None = None) -> None:
        super().__init__()
        config = config or ImageTextConfig()
        self.image = _head(config.image_dim, config)
        self.text = _head(config.text_dim, config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @classmethod
    def load(cls, weights: Path = WEIGHTS) -> "ImageTextHead":
        """The head with trained weights, frozen.

        Raises:
            FewstepError: the file is missing or holds something else.
        """
        head = cls()
        load_weights(head, weights)
        return head.eval().requires_grad_(False)

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.image(images), dim=-1), F.normalize(self.text(texts), dim=-1)

    def loss(self, images: Tensor, texts: Tensor) -> Tensor:
        """The symmetric InfoNCE of matching rows."""
        u, v = self(images, texts)
        logits = self.log_scale.exp().clamp(max=_MAX_SCALE) * u @ v.T
        target = torch.arange(len(u), device=u.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    @torch.inference_mode()
    def similarity(self, images: Array, texts: Array) -> Array:
        """Cosines (N, M) float32 of image features (N, 1280) and text features (M, 384)."""
        u, v = self(torch.from_numpy(images), torch.from_numpy(texts))
        cosines: Array = (u @ v.T).numpy()
        return cosines

    @torch.inference_mode()
    def score(self, images: Array, texts: Array) -> Array:
        """Cosine (N,) float32 of each image with its own text."""
        u, v = self(torch.from_numpy(images), torch.from_numpy(texts))
        cosines: Array = (u * v).sum(-1).numpy()
        return cosines


def _head(channels_in: int, config: ImageTextConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(channels_in, elementwise_affine=False),
        nn.Dropout(config.dropout),
        nn.Linear(channels_in, config.hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.width),
    )
