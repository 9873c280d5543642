"""Rectified flow in four lines: ``x = (1 - sigma) x0 + sigma n``, velocity ``u = n - x0`` (Liu et al. 2022, arXiv:2209.03003).

Everywhere x, x0, n and u are (B, C, h, w) and sigma is (B,).
"""

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x, sigma) -> u."""


def noised(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The clean latents at a noise level: ``(1 - sigma) x0 + sigma n``."""
    s = maps(sigma)
    return (1 - s) * x0 + s * noise


def clean(x: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """What the velocity takes the clean latents for: ``x - sigma u``."""
    return x - maps(sigma) * velocity


def euler(x: Tensor, velocity: Tensor, sigma: Tensor, to: Tensor) -> Tensor:
    """One step of the probability flow, which is also one of DDIM: ``x + (sigma' - sigma) u``."""
    return x + maps(to - sigma) * velocity


def integrate(velocity: Velocity, x: Tensor, levels: Sequence[Tensor]) -> Tensor:
    """Where Euler steps along the levels, each (B,), lead from x at the first of them."""
    for here, there in itertools.pairwise(levels):
        x = euler(x, velocity(x, here), here, there)
    return x


def maps(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return values[:, None, None, None]
