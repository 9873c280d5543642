"""Runge-Kutta on the probability-flow ODE: Heun (EDM), DPM2 of k-diffusion, RK4, and the rho-RK methods of DEIS."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import FewstepError
from fewstep.samplers.frames import RHO, Frame
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, Tape, Value

At = Callable[[float], Node]
"""z of the frame -> the node there: stages lie between the nodes of the schedule."""


@dataclass(frozen=True)
class Tableau:
    """A Butcher tableau: stage times c, lower triangle a, weights b."""

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


HEUN_2 = Tableau((0, 1), ((), (1,)), (1 / 2, 1 / 2))
MIDPOINT_2 = Tableau((0, 1 / 2), ((), (1 / 2,)), (0, 1))
KUTTA_3 = Tableau((0, 1 / 2, 1), ((), (1 / 2,), (-1, 2)), (1 / 6, 4 / 6, 1 / 6))
RALSTON_3 = Tableau((0, 1 / 2, 3 / 4), ((), (1 / 2,), (0, 3 / 4)), (2 / 9, 1 / 3, 4 / 9))
HEUN_3 = Tableau((0, 1 / 3, 2 / 3), ((), (1 / 3,), (0, 2 / 3)), (1 / 4, 0, 3 / 4))
VAN_DER_HOUWEN_3 = Tableau((0, 8 / 15, 2 / 3), ((), (8 / 15,), (1 / 4, 5 / 12)), (1 / 4, 0, 3 / 4))
SSP_3 = Tableau((0, 1, 1 / 2), ((), (1,), (1 / 4, 1 / 4)), (1 / 6, 1 / 6, 2 / 3))
CLASSICAL_4 = Tableau(
    (0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)), (1 / 6, 2 / 6, 2 / 6, 1 / 6)
)


def runge_kutta(tableau: Tableau, at: At | None = None, frame: Frame = RHO) -> Solver:
    """One evaluation a stage. The step to sigma = 0 is Euler's if a stage would lie there.

    Args:
        tableau: the method.
        at: gives the nodes of inner stages; not needed where every stage is at an end of the step.
        frame: the variable of the ODE; `frames.FLOW` for schedules with alpha = 0.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        y = tape.initial / frame.scale(nodes[0])
        for here, there in pairwise(nodes):
            h = frame.z(there) - frame.z(here)
            slopes = [frame.evaluate(tape, y, here)]
            if there.sigma == 0 and 1 in tableau.c:
                y = y + h * slopes[0]
                continue
            for c, line in zip(tableau.c[1:], tableau.a[1:], strict=True):
                stage = y
                for weight, slope in zip(line, slopes, strict=True):
                    stage = stage + h * weight * slope
                slopes.append(frame.evaluate(tape, stage, _stage(here, there, c, at, frame)))
            for weight, slope in zip(tableau.b, slopes, strict=True):
                y = y + h * weight * slope
        return frame.scale(nodes[-1]) * y

    return solve


def _stage(here: Node, there: Node, c: float, at: At | None, frame: Frame) -> Node:
    if c in (0, 1):
        return there if c else here
    if at is None:
        raise FewstepError(
            "expected `at` for a tableau with inner stages, found none; give the nodes of a schedule"
        )
    return at(frame.z(here) + c * (frame.z(there) - frame.z(here)))


def dpm2(middles: Sequence[Node], eta: float = 0.0) -> Solver:
    """DPM2 of k-diffusion and its ancestral form: midpoint rule with the stage at a geometric mean.

        x_s = x + (s - sigma) E,   x' = x + (sigma_down - sigma) E_s + sigma_up n

    `middles` are the nodes s of every step but the one to sigma = 0, which is Euler's. eta 0 is without noise. Order 2.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for i, (here, there) in enumerate(pairwise(nodes)):
            _, slope = tape(x, here)
            down, up = ancestral_levels(here.sigma, there.sigma, eta)
            if i == len(middles):
                x = x + (down - here.sigma) * slope
                continue
            _, slope = tape(x + (middles[i].sigma - here.sigma) * slope, middles[i])
            x = x + (down - here.sigma) * slope
            if up:
                x = x + up * tape.noise()
        return x

    return solve


def ancestral_levels(sigma: float, after: float, eta: float = 1.0) -> tuple[float, float]:
    """(sigma_down, sigma_up) with sigma_down^2 + sigma_up^2 = sigma'^2: step to the first, add noise of the second."""
    up = min(after, eta * math.sqrt(after**2 * (sigma**2 - after**2) / sigma**2))
    return math.sqrt(after**2 - up**2), up
