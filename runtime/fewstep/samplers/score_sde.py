"""Score-SDE samplers (Song et al. 2021b) on the continuous variance-preserving and exploding SDEs.

The score is -E / sigma. h > 0 is the step in time, backwards; beta = beta(t). The probability-flow ODE, with half the score
and no noise, is solved by Euler's method or any Runge-Kutta method in `frames.vp_time`.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value

Beta = Callable[[float], float]


def vp_nodes(times: Sequence[float], log_alpha: Callable[[float], float]) -> list[Node]:
    """Nodes at times in (0, 1] of a variance-preserving SDE; the network is told the time itself."""
    nodes = []
    for t in times:
        log = log_alpha(t)
        nodes.append(Node(math.exp(log), math.sqrt(-math.expm1(2 * log)), t))
    return nodes


def linear_beta(beta_min: float = 0.1, beta_max: float = 20.0) -> Beta:
    """beta(t) = beta_min + t (beta_max - beta_min)."""
    return lambda t: beta_min + t * (beta_max - beta_min)


def euler_maruyama(beta: Beta, last_is_mean: bool = True) -> Solver:
    """VP: x' = (1 + beta h / 2) x - (beta h / sigma) E + sqrt(beta h) n; the last step returns the mean. Weak order 1."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for i, (here, there) in enumerate(pairwise(nodes)):
            _, noise = tape(x, here)
            b = beta(here.timestep) * (here.timestep - there.timestep)
            x = (1 + b / 2) * x - b / here.sigma * noise
            if not last_is_mean or i < len(nodes) - 2:
                x = x + math.sqrt(b) * tape.noise()
        return x

    return solve


def reverse_diffusion_vp(beta: Beta) -> Solver:
    """VP: x' = (2 - sqrt(1 - b)) x - (b / sigma) E + sqrt(b) n with b = beta h (appendix E). Weak order 1."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for i, (here, there) in enumerate(pairwise(nodes)):
            _, noise = tape(x, here)
            b = beta(here.timestep) * (here.timestep - there.timestep)
            x = (2 - math.sqrt(1 - b)) * x - b / here.sigma * noise
            if i < len(nodes) - 2:
                x = x + math.sqrt(b) * tape.noise()
        return x

    return solve


def reverse_diffusion_ve(tape: Tape, nodes: Sequence[Node]) -> Value:
    """VE: x' = x - ((sigma^2 - sigma'^2) / sigma) E + sqrt(sigma^2 - sigma'^2) n (eq. 47). Weak order 1.

    Written as D + (sigma'^2 / sigma) E, which does not cancel where sigma' is far below sigma.
    """
    x = tape.initial
    for i, (here, there) in enumerate(pairwise(nodes)):
        data, noise = tape(x, here)
        x = data + there.sigma**2 / here.sigma * noise
        if i < len(nodes) - 2:
            x = x + math.sqrt(here.sigma**2 - there.sigma**2) * tape.noise()
    return x
