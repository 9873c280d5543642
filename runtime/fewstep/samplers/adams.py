"""Adams-Bashforth methods: LMS (rho-AB of DEIS), and PLMS, PNDM and iPNDM with their constant weights."""

from collections.abc import Sequence
from itertools import pairwise

from fewstep.samplers.exponential import lagrange_weights
from fewstep.samplers.frames import RHO, Frame
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value

CONSTANT_WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams-Bashforth on a uniform grid, orders 1 to 4."""


def lms(order: int = 4, frame: Frame = RHO) -> Solver:
    """Y' = y + sum_k C_k slope_k, C_k = int_z^z' l_k(z) dz: LMS of k-diffusion, rho-AB of DEIS. One evaluation a step."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        y = tape.initial / frame.scale(nodes[0])
        history: list[tuple[float, Value]] = []
        for here, there in pairwise(nodes):
            z = frame.z(here)
            history.insert(0, (z, frame.evaluate(tape, y, here)))
            del history[order:]
            h = frame.z(there) - z
            integrals = [h ** (p + 1) / (p + 1) for p in range(len(history))]
            weights = lagrange_weights([u - z for u, _ in history], integrals)
            for weight, (_, slope) in zip(weights, history, strict=True):
                y = y + weight * slope
        return frame.scale(nodes[-1]) * y

    return solve


def ipndm(tape: Tape, nodes: Sequence[Node]) -> Value:
    """The DDIM step with E mixed by the constant weights of order 1 to 4 (Zhang and Chen 2022, iPNDM).

    alpha is taken as at least 1e-8, as in diffusers: from alpha = 0 the first step then ignores the network.
    """
    x = tape.initial
    history: list[Value] = []
    for here, there in pairwise(nodes):
        history.insert(0, tape(x, here)[1])
        del history[4:]
        noise = mixed(history)
        x = there.alpha * (x - here.sigma * noise) / max(here.alpha, 1e-8) + there.sigma * noise
    return x


def mixed(history: Sequence[Value]) -> Value:
    """The values, newest first, with the constant weights of that many."""
    weights = CONSTANT_WEIGHTS[len(history) - 1]
    return sum((w * value for w, value in zip(weights, history, strict=True)), history[0] * 0.0)


def transfer(x: Value, noise: Value, here: Node, there: Node) -> Value:
    """X' = (alpha'/alpha) x + (sigma' - sigma alpha'/alpha) E: the DDIM step (Liu et al. 2022, eq. 11)."""
    ratio = there.alpha / here.alpha
    return ratio * x + (there.sigma - here.sigma * ratio) * noise
