"""Pictures as small pixel vectors, for distances that no network has an opinion on."""

import numpy as np
from numpy.typing import NDArray

from fewstep_distillation.metrics.cache import Array

SIDE = 32


def pixel_codes(pictures: NDArray[np.uint8]) -> Array:
    """RGBA (N, H, W, 4) uint8, straight alpha -> (N, 4096) float32: premultiplied RGBA in [0, 1], averaged to 32 x 32.

    H and W must be multiples of 32, or divide it (then pixels are repeated).
    """
    rgba = pictures.astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    n, height, width, channels = rgba.shape
    if height < SIDE:
        rgba = rgba.repeat(SIDE // height, axis=1).repeat(SIDE // width, axis=2)
        height = width = SIDE
    blocks = rgba.reshape(n, SIDE, height // SIDE, SIDE, width // SIDE, channels)
    return blocks.mean((2, 4)).reshape(n, -1)
