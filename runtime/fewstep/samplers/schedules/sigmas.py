"""Noise levels between a largest and a smallest one: Karras, exponential, uniform lambda, beta distribution."""

import math

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers.schedules.spacing import Floats


def karras_sigmas(steps: int, smallest: float, largest: float, rho: float = 7.0) -> Floats:
    """sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho (Karras et al. 2022, eq. 5)."""
    low, high = _checked(steps, smallest, largest)
    ramp = np.linspace(0, 1, steps)
    sigmas: Floats = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return sigmas


def exponential_sigmas(steps: int, smallest: float, largest: float) -> Floats:
    """Levels evenly spaced in log sigma. With sigma = sigma / alpha this is uniform in lambda (Lu et al. 2022a)."""
    low, high = _checked(steps, smallest, largest)
    sigmas: Floats = np.exp(np.linspace(math.log(high), math.log(low), steps))
    return sigmas


def beta_sigmas(steps: int, smallest: float, largest: float, alpha: float = 0.6, beta: float = 0.6) -> Floats:
    """Quantiles of the beta distribution, close at both ends ("Beta Sampling is All You Need", Lee et al. 2024)."""
    low, high = _checked(steps, smallest, largest)
    return np.array(
        [low + beta_quantile(p, alpha, beta) * (high - low) for p in 1 - np.linspace(0, 1, steps)]
    )


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x in [0, 1] with I_x(a, b) = p, by bisection on the regularised incomplete beta function."""
    low, high = 0.0, 1.0
    if p <= 0 or p >= 1:
        return float(p >= 1)
    for _ in range(
        1100
    ):  # the smallest x are far below 1e-16; bisection ends when the interval is one number wide
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if incomplete_beta(middle, a, b) < p else (low, middle)
    return (low + high) / 2


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised I_x(a, b) by its continued fraction (DLMF 8.17.22), evaluated after Lentz."""
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    if x <= 0:
        return 0.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    fraction, c, d = 1.0, 1.0, 0.0
    for i in range(200):
        m = i // 2
        if i == 0:
            factor = 1.0
        elif i % 2 == 0:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + factor * d)
        c = 1 + factor / c
        fraction *= c * d
        if abs(1 - c * d) < 1e-16:
            break
    return front * (fraction - 1) / a


def _checked(steps: int, smallest: float, largest: float) -> tuple[float, float]:
    if steps < 1 or not 0 < smallest <= largest:
        raise FewstepError(
            f"expected at least 1 step and 0 < smallest <= largest level, found {steps} steps from {largest} to "
            f"{smallest}; choose others"
        )
    return float(smallest), float(largest)
