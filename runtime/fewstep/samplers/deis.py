"""DEIS (Zhang and Chen 2022): extrapolate E by a polynomial in t, rho or log rho, integrate over rho = sigma / alpha.

    x' = (alpha'/alpha) x + alpha' sum_k C_k E_k,   C_k = int_rho^rho' l_k(tau(rho)) drho

The three variables are three methods: 0.03 to 0.08 apart at ten steps of degree 3. The paper and its code name them by
the degree (tAB3 uses four outputs), diffusers by the number of outputs; here `order` is the number of outputs.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from fewstep.samplers.exponential import exact
from fewstep.samplers.multistep import Multistep, data_step
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value

_QUADRATURE = (
    24  # points of Gauss-Legendre in log rho: exact to 4e-16, where the official code sums 10,000 rectangles
)


def log_rho(order: int = 3, last_orders: tuple[int, ...] = ()) -> Multistep:
    """Polynomials in log rho = -lambda: what diffusers calls DEIS, DPM-Solver multistep with exact weights."""
    return Multistep(order, exact, noise_form=True, last_orders=last_orders)


def time(order: int, time_of: Callable[[float], float]) -> Solver:
    """tAB, the paper's best: polynomials in the time t = time_of(lambda) of the schedule."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        history: list[tuple[Node, Value]] = []
        for here, there in pairwise(nodes):
            data, noise = tape(x, here)
            history.insert(0, (here, noise))
            if not (math.isfinite(here.lam) and math.isfinite(there.lam)):
                x = data_step(x, [(here, data)], there, exact, 1.0)
                continue
            kept = [(node, value) for node, value in history[:order] if math.isfinite(node.lam)]
            weights = time_weights([time_of(node.lam) for node, _ in kept], here, there, time_of)
            x = there.alpha / here.alpha * x
            for weight, (_, value) in zip(weights, kept, strict=True):
                x = x + there.alpha * weight * value
        return x

    return solve


def time_weights(
    times: Sequence[float], here: Node, there: Node, time_of: Callable[[float], float]
) -> list[float]:
    """C_k for Lagrange polynomials on `times`, by Gauss-Legendre quadrature in log rho."""
    points, weights = np.polynomial.legendre.leggauss(_QUADRATURE)
    half = (here.lam - there.lam) / 2  # log rho = -lambda
    logs = half * points - (here.lam + there.lam) / 2
    taus = np.array([time_of(-float(log)) for log in logs])
    measure = weights * half * np.exp(logs)
    found = []
    for k, t_k in enumerate(times):
        basis = np.ones_like(taus)
        for j, t_j in enumerate(times):
            if j != k:
                basis *= (taus - t_j) / (t_k - t_j)
        found.append(float(measure @ basis))
    return found
