"""Every solver of the library, with the nodes that it is for: what `error_against_evaluations.py` compares."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.samplers import (
    Solver,
    adams,
    consistency,
    ddim,
    ddpm,
    deis,
    dpm_solver,
    dpm_solver_pp,
    euler,
    frames,
    pndm,
    prediction,
    runge_kutta,
    score_sde,
)
from fewstep.samplers.node import Node
from fewstep.samplers.sa_solver import SASolver
from fewstep.samplers.schedules.beta import continuous_vp
from fewstep.samplers.unipc import UniPC

BETA_MIN, BETA_MAX = 0.1, 20.0


def vp(rho: float) -> Node:
    """The variance-preserving node of a level, with its time."""
    scale = 1 / math.sqrt(1 + rho**2)
    return Node(scale, rho * scale, time_of(-math.log(rho)))


def ve(rho: float) -> Node:
    """The variance-exploding node."""
    return Node(1.0, rho)


def flow(rho: float) -> Node:
    """The flow node."""
    return flow_level(rho / (1 + rho))


def flow_level(sigma: float) -> Node:
    """The flow node of its own level."""
    return Node(1 - sigma, sigma)


def at_time(t: float) -> Node:
    """The variance-preserving node of a time."""
    (node,) = score_sde.vp_nodes([t], continuous_vp(BETA_MIN, BETA_MAX))
    return node


def time_of(lam: float) -> float:
    """The time of the linear beta schedule (0.1 to 20) at half a log-SNR."""
    log = math.log1p(math.exp(-2 * lam))
    return (-BETA_MIN + math.sqrt(BETA_MIN**2 + 2 * (BETA_MAX - BETA_MIN) * log)) / (BETA_MAX - BETA_MIN)


@dataclass(frozen=True)
class Case:
    """A solver for a grid of noise-to-signal ratios, the node of a ratio, the evaluations of a step and those at the start."""

    solver: Callable[[Sequence[float]], Solver]
    node: Callable[[float], Node] = vp
    stages: int = 1
    first: int = 0


def case(solver: Solver, node: Callable[[float], Node] = vp, stages: int = 1) -> Case:
    """A solver that is the same on every grid."""
    return Case(lambda rhos: solver, node, stages)


def dpm2(rhos: Sequence[float]) -> Solver:
    """DPM2 with its stages at geometric means."""
    return runge_kutta.dpm2([ve(math.sqrt(a * b)) for a, b in pairwise(rhos)])


def tcd(rhos: Sequence[float]) -> Solver:
    """TCD(0.3), with the intermediate levels at 0.7 of the next time."""
    times = [0.7 * time_of(-math.log(rho)) for rho in rhos[1:]]
    return consistency.tcd(0.3, [at_time(t) for t in times])


BETA = score_sde.linear_beta(BETA_MIN, BETA_MAX)
TIME = frames.vp_time(BETA)
RK = runge_kutta.runge_kutta

DETERMINISTIC: Mapping[str, Mapping[str, Case]] = {
    "first order and Runge-Kutta": {
        "DDIM = Euler = DPM-Solver(++) 1": case(ddim.ddim()),
        "Flow-Euler": case(euler.euler(frames.FLOW), flow),
        "Euler in t": case(euler.euler(TIME)),
        "Heun (EDM)": case(RK(runge_kutta.HEUN_2), ve, 2),
        "Flow-Heun": case(RK(runge_kutta.HEUN_2, frame=frames.FLOW), flow, 2),
        "Heun in t": case(RK(runge_kutta.HEUN_2, frame=TIME), vp, 2),
        "midpoint": case(RK(runge_kutta.MIDPOINT_2, ve), ve, 2),
        "DPM2": Case(dpm2, ve, 2),
        "rho-RK 3 Kutta": case(RK(runge_kutta.KUTTA_3, ve), ve, 3),
        "rho-RK 3 Ralston": case(RK(runge_kutta.RALSTON_3, ve), ve, 3),
        "rho-RK 3 Heun": case(RK(runge_kutta.HEUN_3, ve), ve, 3),
        "rho-RK 3 van der Houwen": case(RK(runge_kutta.VAN_DER_HOUWEN_3, ve), ve, 3),
        "rho-RK 3 SSP": case(RK(runge_kutta.SSP_3, ve), ve, 3),
        "RK4": case(RK(runge_kutta.CLASSICAL_4, ve), ve, 4),
        "Flow-RK4": case(RK(runge_kutta.CLASSICAL_4, flow_level, frames.FLOW), flow, 4),
        "RK4 in t": case(RK(runge_kutta.CLASSICAL_4, at_time, TIME), vp, 4),
    },
    "DPM-Solver and DPM-Solver++": {
        "DPM-Solver-2": case(dpm_solver.singlestep(2)),
        "DPM-Solver-3": case(dpm_solver.singlestep(3, "exact")),
        "DPM-Solver 2M": case(dpm_solver.multistep(2)),
        "DPM-Solver 3M": case(dpm_solver.multistep(3)),
        "DPM-Solver++ 2S": case(dpm_solver_pp.singlestep(2)),
        "DPM-Solver++ 3S": case(dpm_solver_pp.singlestep(3, "exact")),
        "DPM-Solver++ 2M": case(dpm_solver_pp.multistep(2)),
        "DPM-Solver++ 2M, exact": case(dpm_solver_pp.multistep(2, "exact")),
        "Flow-DPM-Solver++ 2M": case(dpm_solver_pp.multistep(2), flow),
        "DPM-Solver++ 3M": case(dpm_solver_pp.multistep(3)),
        "DPM-Solver++ 3M, diffusers": case(dpm_solver_pp.multistep(3, compat="diffusers")),
        "Flow-DPM-Solver++ 3M": case(dpm_solver_pp.multistep(3), flow),
    },
    "Adams, DEIS, predictor and corrector": {
        "LMS-2 = rho-AB": case(adams.lms(2), ve),
        "LMS-3": case(adams.lms(3), ve),
        "LMS-4": case(adams.lms(4), ve),
        "Flow-LMS-4": case(adams.lms(4, frames.FLOW), flow),
        "iPNDM": case(adams.ipndm),
        "PLMS": Case(lambda rhos: pndm.plms(prediction.sample), vp, first=1),
        "DEIS-2 log rho": case(deis.log_rho(2)),
        "DEIS-3 log rho": case(deis.log_rho(3)),
        "DEIS tAB-1": case(deis.time(2, time_of)),
        "DEIS tAB-2": case(deis.time(3, time_of)),
        "DEIS tAB-3": case(deis.time(4, time_of)),
        "UniPC-2": case(UniPC(2)),
        "UniPC-2 bh1": case(UniPC(2, "bh1")),
        "UniPC-3": case(UniPC(3)),
        "Flow-UniPC-2": case(UniPC(2), flow),
    },
}
STOCHASTIC: Mapping[str, Case] = {
    "DDPM = SDE-DPM-Solver++ 1": case(ddpm.ddpm()),
    "DDIM eta 0.5": case(ddim.ddim(0.5)),
    "Euler-Maruyama": case(score_sde.euler_maruyama(BETA)),
    "reverse diffusion VP": case(score_sde.reverse_diffusion_vp(BETA)),
    "reverse diffusion VE": case(score_sde.reverse_diffusion_ve, ve),
    "Euler-ancestral": case(euler.euler_ancestral(), ve),
    "Euler-ancestral, flow": case(euler.euler_ancestral_flow(), flow),
    "Euler with churn": case(euler.euler_churn(2.0), ve),
    "SDE-DPM-Solver 2M": case(dpm_solver.sde(2)),
    "SDE-DPM-Solver++ 2M": case(dpm_solver_pp.sde(2)),
    "SDE-DPM-Solver++ 3M": case(dpm_solver_pp.sde(3)),
    "Flow-SDE-DPM-Solver++ 2M": case(dpm_solver_pp.sde(2), flow),
    "SA-Solver": case(SASolver(tau=lambda _: 0.8)),
    "LCM, not distilled": case(consistency.renoise),
    "TCD, not distilled": Case(tcd),
}
