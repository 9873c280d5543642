"""Exponential integrators: the moments and the one routine from which their weights come.

Over a step from lambda to lambda + h the exact solution weighs the network's D (or E) with an exponential kernel; a
solver replaces D by the polynomial through the values at nodes u_k (relative to lambda). The weight of value k is the
integral of kernel times Lagrange basis polynomial, a combination of the moments of the kernel. With the kernel
r e^{-r (h - u)}:

    r = 1        data form, ODE               DPM-Solver++ (Lu et al. 2022b)
    r = 2        data form, SDE               SDE-DPM-Solver++
    r = 1+tau^2  data form, SDE of SA-Solver  (Xue et al. 2023)
    r = -1       noise form, up to the sign   DPM-Solver (Lu et al. 2022a), DEIS in log rho (Zhang and Chen 2022)
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from fewstep.errors import FewstepError

Weights = Callable[[Sequence[float], float, float], list[float]]
"""(nodes u_0 = 0, u_1, ..., step h, rate r) -> one weight a node."""

_SERIES_BELOW = (
    0.5  # there the recursion of the moments cancels; 20 terms of the series are exact to rounding
)
_SERIES_TERMS = 20


def moments(h: float, rate: float, count: int) -> list[float]:
    """M_p = int_0^h r e^{-r (h - u)} u^p du for p = 0 .. count - 1, by M_p = h^p - (p / r) M_{p-1} or its series."""
    if abs(rate * h) < _SERIES_BELOW:
        return [_moment_series(h, rate, p) for p in range(count)]
    found = [-math.expm1(-rate * h)]
    for p in range(1, count):
        found.append(h**p - p / rate * found[-1])
    return found


def _moment_series(h: float, rate: float, p: int) -> float:
    """M_p = r h^{p+1} sum_k (-r h)^k p! / (p + k + 1)!."""
    term, total = 1.0 / (p + 1), 0.0
    for k in range(_SERIES_TERMS):
        total += term
        term *= -rate * h / (p + k + 2)
    return rate * h ** (p + 1) * total


def lagrange_weights(nodes: Sequence[float], integrals: Sequence[float]) -> list[float]:
    """Int l_k = sum_p coefficient_p(l_k) integrals[p] for every Lagrange basis polynomial l_k on the nodes.

    `integrals` are those of 1, u, u^2, ... against any kernel.
    """
    weights = []
    for k, u_k in enumerate(nodes):
        polynomial = np.array([1.0])  # lowest power first
        for j, u_j in enumerate(nodes):
            if j != k:
                polynomial = np.convolve(polynomial, np.array([-u_j, 1.0])) / (u_k - u_j)
        weights.append(float(sum(c * m for c, m in zip(polynomial, integrals, strict=True))))
    return weights


def exact(nodes: Sequence[float], h: float, rate: float) -> list[float]:
    """The weights of order len(nodes): the polynomial through all nodes, integrated exactly."""
    return lagrange_weights(nodes, moments(h, rate, len(nodes)))


def midpoint(nodes: Sequence[float], h: float, rate: float) -> list[float]:
    """Order 2 with M_1 replaced by h M_0 / 2 (the "midpoint" of Lu et al. 2022); the exact weights for other orders."""
    if len(nodes) != 2:
        return exact(nodes, h, rate)
    (m_0,) = moments(h, rate, 1)
    return lagrange_weights(nodes, [m_0, h * m_0 / 2])


def third_order_of(second: Weights, compat: str | None) -> Weights:
    """The given weights up to order 2, and for order 3 the exact ones or those of `compat="diffusers"`.

    LuChengTHU/dpm-solver (`multistep_dpm_solver_third_update`), k-diffusion (`sample_dpmpp_3m_sde`) and diffusers
    estimate the second derivative as D2 = (D10 - D11) / (r0 + r1), which is h^2 D'' / 2, and weigh it as if it were
    h^2 D'': half the exact weight, so their third-order multistep solvers converge with order 2. For the SDE diffusers
    (pull request 9104) also has -1/2 where k-diffusion has +1/2.

    Raises:
        FewstepError: `compat` is neither None nor "diffusers".
    """
    if compat not in (None, "diffusers"):
        raise FewstepError(f"expected compat None or 'diffusers', found '{compat}'; choose one")

    def weights(nodes: Sequence[float], h: float, rate: float) -> list[float]:
        if len(nodes) != 3 or compat is None:
            return second(nodes, h, rate)
        m = moments(h, rate, 3)
        half = m[2] / 2
        if rate == 2:
            half = h**2 * ((-math.expm1(-2 * h) - 2 * h) / (2 * h) ** 2 - 0.5)
        return _differences(nodes, h, [m[0], m[1] / h, half / h**2])

    return weights


def _differences(nodes: Sequence[float], h: float, factors: Sequence[float]) -> list[float]:
    """Weights of factors[0] V + factors[1] D1 + factors[2] D2 with the divided differences of Lu et al. 2022b."""
    r_0, r_1 = -nodes[1] / h, (nodes[1] - nodes[2]) / h
    d_10, d_11 = np.array([1 / r_0, -1 / r_0, 0.0]), np.array([0.0, 1 / r_1, -1 / r_1])
    d_1 = d_10 + r_0 / (r_0 + r_1) * (d_10 - d_11)
    d_2 = (d_10 - d_11) / (r_0 + r_1)
    total = np.array([factors[0], 0.0, 0.0]) + factors[1] * d_1 + factors[2] * d_2
    return [float(w) for w in total]
