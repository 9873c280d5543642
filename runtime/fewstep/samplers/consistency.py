"""Few-step samplers: predict the clean picture, add noise again. LCM, TCD, DMD2, consistency and flow models.

The c_skip and c_out of consistency models are part of the prediction (`prediction.with_boundary`,
`prediction.consistency`).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value


def renoise(tape: Tape, nodes: Sequence[Node]) -> Value:
    """X' = alpha' D + sigma' n: LCM (Luo et al. 2023), DMD2 (Yin et al. 2024), sCM, SANA-Sprint, stochastic flow.

    No noise where sigma' is 0.
    """
    x = tape.initial
    for here, there in pairwise(nodes):
        data, _ = tape(x, here)
        x = there.alpha * data
        if there.sigma:
            x = x + there.sigma * tape.noise()
    return x


def tcd(gamma: float, intermediate: Sequence[Node]) -> Solver:
    """TCD(gamma) (Zheng et al. 2024, algorithm 4): DDIM to the level q below the next node, then noise up to it.

        x' = (alpha'/alpha_q) (alpha_q D + sigma_q E) + sqrt(1 - (alpha'/alpha_q)^2) n

    `intermediate` are the levels q, one a step; gamma 0 is DDIM and draws no noise.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for i, ((here, there), q) in enumerate(zip(pairwise(nodes), intermediate, strict=True)):
            data, noise = tape(x, here)
            x = q.alpha * data + q.sigma * noise
            if gamma > 0 and i < len(nodes) - 2:
                ratio = there.alpha / q.alpha
                x = ratio * x + math.sqrt(max(0.0, 1 - ratio**2)) * tape.noise()
        return x

    return solve


def consistency(sigma_min: float) -> Solver:
    """X' = D + sqrt(sigma'^2 - sigma_min^2) n (Song et al. 2023, algorithm 1)."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for here, there in pairwise(nodes):
            x, _ = tape(x, here)
            if there.sigma > sigma_min:
                x = x + math.sqrt(there.sigma**2 - sigma_min**2) * tape.noise()
        return x

    return solve
