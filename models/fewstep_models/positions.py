"""Fixed two-dimensional sinusoidal positions (ViT, MAE, DiT)."""

import torch
from torch import Tensor


def sinusoidal_positions(width: int, size: int, extent: float | None = None) -> Tensor:
    """Positions (1, width, size, size) float32.

    The first half of the channels encodes the column, the second the row, each as ``[sin(p w) | cos(p w)]`` with
    ``w_i = 10000^(-i / (width/4))``. Columns and rows run over [0, extent); ``extent`` is ``size`` unless given.

    Raises:
        ValueError: ``width`` is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width ({width}) must be a multiple of 4 for two-dimensional positions")
    place = torch.arange(size, dtype=torch.float64) * ((extent or size) / size)
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = frequencies[:, None] * place  # (width / 4, size)
    one = torch.cat([angles.sin(), angles.cos()])  # (width / 2, size)
    columns = one[:, None, :].expand(-1, size, -1)
    rows = one[:, :, None].expand(-1, -1, size)
    return torch.cat([columns, rows])[None].float()
