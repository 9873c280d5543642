"""DDIM(eta) (Song et al. 2021a, eq. 12); eta = 0 is the first-order step of every ODE family, eta = 1 is DDPM."""

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value


def ddim(eta: float = 0.0) -> Solver:
    """X' = alpha' D + sqrt(sigma'^2 - s^2) E + s n with s = eta (sigma' / sigma) sqrt(1 - alpha^2 / alpha'^2). Order 1.

    The root of the paper is for levels with alpha^2 + sigma^2 = 1; the form here, s = eta sigma' sqrt(1 - q^2) with
    q = (alpha sigma') / (alpha' sigma), is the same there and right for flow levels too.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for here, there in pairwise(nodes):
            x = ddim_step(tape, x, here, here, there, eta)
        return x

    return solve


def ddim_from(levels: Sequence[tuple[Node, Node]], eta: float = 0.0) -> Solver:
    """DDIM whose steps end elsewhere than the next one begins: (where the network is asked, where the step ends).

    Diffusers steps from t to t - T // N, which is not the next entry of its schedule for `linspace` spacing, nor where
    N does not divide T.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        del nodes  # `levels` says more
        x = tape.initial
        for here, there in levels:
            x = ddim_step(tape, x, here, here, there, eta)
        return x

    return solve


def ddim_step(tape: Tape, x: Value, asked: Node, here: Node, there: Node, eta: float) -> Value:
    """One step of DDIM(eta) from `here` to `there` with the network asked at `asked`."""
    data, noise = tape(x, asked)
    q = here.alpha * there.sigma / (there.alpha * here.sigma)
    s = eta * there.sigma * math.sqrt(max(0.0, 1 - q**2))
    after = there.alpha * data + math.sqrt(there.sigma**2 - s**2) * noise
    return after + s * tape.noise() if s else after
