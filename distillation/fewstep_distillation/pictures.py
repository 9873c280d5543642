"""Pictures between arrays and tensors, and grids of them to look at."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor


def premultiply(straight: Tensor) -> Tensor:
    """RGBA (B, H, W, 4) uint8 with straight alpha -> (B, 4, H, W) float32 in [0, 1] with premultiplied alpha."""
    rgba = straight.permute(0, 3, 1, 2).float() / 255.0
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)


def composite(premultiplied: Tensor, background: Tensor | float = 1.0) -> Tensor:
    """(B, 4, H, W) premultiplied -> RGB (B, 3, H, W) over a background: a number or (B, 3, 1, 1)."""
    return premultiplied[:, :3] + (1 - premultiplied[:, 3:]) * background


def straighten(premultiplied: Tensor) -> NDArray[np.uint8]:
    """(B, 4, H, W) premultiplied float -> (B, H, W, 4) uint8 with straight alpha."""
    x = premultiplied.detach().float().cpu().clamp(0, 1)
    alpha = x[:, 3:]
    colour = (x[:, :3] / alpha.clamp(min=1 / 255)).clamp(0, 1) * (alpha > 0.5 / 255)
    rgba = torch.cat([colour, alpha], dim=1)
    return (rgba * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def grid(pictures: NDArray[np.uint8], captions: list[str] | None = None, columns: int = 8) -> Image.Image:
    """A contact sheet of RGBA pictures (N, H, W, 4) on white, with captions under them."""
    count, size = len(pictures), pictures.shape[1]
    footer = 14 if captions else 0
    cell = size + 6
    sheet = Image.new("RGB", (columns * cell, math.ceil(count / columns) * (cell + footer)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        x, y = i % columns * cell, i // columns * (cell + footer)
        image = Image.fromarray(picture)
        sheet.paste(image, (x, y), image)
        if captions:
            draw.text((x + 2, y + size + 1), captions[i][:24], fill="black")
    return sheet


def save_grid(premultiplied: Tensor, path: Path, captions: list[str] | None = None, columns: int = 8) -> None:
    """Write a contact sheet of premultiplied pictures (B, 4, H, W)."""
    grid(straighten(premultiplied), captions, columns).save(path)
