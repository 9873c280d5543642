"""Pictures as tensors for training, and sheets of them to look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fewstep.image import contact_sheet


def premultiply(straight: Tensor) -> Tensor:
    """RGBA (B, H, W, 4) uint8 with straight alpha -> (B, 4, H, W) float32 in [0, 1] with premultiplied alpha."""
    rgba = straight.permute(0, 3, 1, 2).float() / 255.0
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)


def composite(premultiplied: Tensor, background: Tensor | float = 1.0) -> Tensor:
    """(B, 4, H, W) premultiplied -> RGB (B, 3, H, W) over a background: a number or (B, 3, 1, 1)."""
    return premultiplied[:, :3] + (1 - premultiplied[:, 3:]) * background


def save_sheet(pictures: NDArray[np.uint8], path: Path, captions: Sequence[str], columns: int = 8) -> None:
    """Write a contact sheet of RGBA pictures (N, H, W, 4) uint8, straight alpha."""
    contact_sheet([Image.fromarray(picture) for picture in pictures], captions, columns).save(path)


def save_comparison(
    above: NDArray[np.uint8],
    below: NDArray[np.uint8],
    path: Path,
    names: Sequence[str],
    label: str,
    columns: int = 8,
) -> None:
    """Write a contact sheet of pictures (N, H, W, 4), rows with their names and below each of them, with the label, the same ones anew."""
    parts: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for start in range(0, len(names), columns):
        row = slice(start, start + columns)
        parts += [above[row], below[row]]
        captions += [*names[row], *[label] * len(names[row])]
    save_sheet(np.concatenate(parts), path, captions, columns)
