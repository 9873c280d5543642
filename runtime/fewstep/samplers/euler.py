"""Euler's method in the variance-exploding frame and for flow, with ancestral noise or churn."""

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.samplers.frames import RHO, Frame
from fewstep.samplers.node import Node
from fewstep.samplers.runge_kutta import ancestral_levels
from fewstep.samplers.tape import Solver, Tape, Value


def euler(frame: Frame = RHO) -> Solver:
    """Y' = y + (z' - z) dy/dz: the first-order method, equal to DDIM. Order 1, one kept array."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        y = tape.initial / frame.scale(nodes[0])
        for here, there in pairwise(nodes):
            y = y + (frame.z(there) - frame.z(here)) * frame.evaluate(tape, y, here)
        return frame.scale(nodes[-1]) * y

    return solve


def euler_ancestral(eta: float = 1.0) -> Solver:
    """X' = x + (sigma_down - sigma) E + sigma_up n in the exploding frame (k-diffusion); eta 1 is DDPM."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for here, there in pairwise(nodes):
            _, slope = tape(x, here)
            down, up = ancestral_levels(here.sigma, there.sigma, eta)
            x = x + (down - here.sigma) * slope
            if up:
                x = x + up * tape.noise()
        return x

    return solve


def euler_churn(churn: float) -> Solver:
    """Euler with diffusers' churn: x' = x + sqrt(hat^2 - sigma^2) n + (sigma' - hat) E, hat = (1 + g) sigma.

    g = min(churn / steps, sqrt 2 - 1) with the number of noise levels for steps. Karras et al. (2022, algorithm 2) and
    k-diffusion add the noise before the evaluation, at hat; diffusers after it, at sigma.
    """

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        g = min(churn / (len(nodes) - 1), math.sqrt(2) - 1)
        for here, there in pairwise(nodes):
            _, slope = tape(x, here)
            hat = here.sigma * (1 + g)
            x = x + math.sqrt(hat**2 - here.sigma**2) * tape.noise() + (there.sigma - hat) * slope
        return x

    return solve


def euler_ancestral_flow(eta: float = 1.0) -> Solver:
    """Euler-ancestral for flow, as ComfyUI and diffusers' LTX scheduler have it: step below sigma', then add noise.

    With down = sigma' (1 + (sigma'/sigma - 1) eta): x_d = (down/sigma) x + (1 - down/sigma) D, and
    x' = (1 - sigma') / (1 - down) x_d + sqrt(sigma'^2 - down^2 (1 - sigma')^2 / (1 - down)^2) n.
    """
    tiny = 1e-12  # guards the quotients, in the reference too

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        x = tape.initial
        for here, there in pairwise(nodes):
            data, _ = tape(x, here)
            if there.sigma < 1e-8:
                x = data
                continue
            down = there.sigma * (1 + (there.sigma / here.sigma - 1) * eta)
            x = down / here.sigma * x + (1 - down / here.sigma) * data
            if eta > 0:
                square = there.sigma**2 - down**2 * there.alpha**2 / ((1 - down) ** 2 + tiny)
                x = there.alpha / (1 - down + tiny) * x + math.sqrt(max(0.0, square)) * tape.noise()
        return x

    return solve
