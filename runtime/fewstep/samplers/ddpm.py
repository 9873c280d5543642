"""DDPM, ancestral sampling (Ho et al. 2020), on any subset of the timesteps."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value

Variance = Literal["small", "large"]
_LEAST_VARIANCE = 1e-20  # diffusers clips here


def ddpm(variance: Variance = "small", last_noise: bool = False) -> Solver:
    """X' = alpha' beta / sigma^2 D + sqrt(1 - beta) sigma'^2 / sigma^2 x + s n, beta = 1 - (alpha / alpha')^2.

    s^2 = beta sigma'^2 / sigma^2 ("small", the posterior's variance) or beta ("large"); no noise in the last step unless
    `last_noise`. With fewer than T steps beta belongs to the pair of levels, not to the table of betas. Weak order 1.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for i, (here, there) in enumerate(pairwise(nodes)):
            data, _ = tape(x, here)
            ratio = here.alpha / there.alpha
            beta = 1 - ratio**2
            square = (there.sigma / here.sigma) ** 2
            x = there.alpha * beta / here.sigma**2 * data + ratio * square * x
            if last_noise or i < len(nodes) - 2:
                s = max(beta * square, _LEAST_VARIANCE) if variance == "small" else beta
                x = x + math.sqrt(s) * tape.noise()
        return x

    return solve
