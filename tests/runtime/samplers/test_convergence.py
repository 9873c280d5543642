"""Every deterministic solver converges with the order it claims, on a Gaussian mixture with the exact denoiser.

Data: half N(-1, 0.3^2), half N(1, 0.3^2). The grid is uniform in lambda from rho = 6 to 0.25, and the order is
the slope between two large step counts.
"""

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from fewstep.samplers import (
    adams,
    ddim,
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
from fewstep.samplers.schedules.beta import continuous_vp
from fewstep.samplers.tape import Solver, Tape, Value, compile_solver
from fewstep.samplers.unipc import UniPC

Array = npt.NDArray[np.float64]
STD, START, END = 0.3, 6.0, 0.25
BETA_MIN, BETA_MAX = 0.1, 20.0
TOLERANCE = 0.15


def denoise(x: Array, node: Node) -> Array:
    """E[x0 | x]."""
    variance = (node.alpha * STD) ** 2 + node.sigma**2
    mean = np.tanh(node.alpha * x / variance)
    found: Array = mean + node.alpha * STD**2 / variance * (x - node.alpha * mean)
    return found


def at(rho: float) -> Node:
    """The variance-preserving node of a noise-to-signal ratio."""
    return Node(1 / math.sqrt(1 + rho**2), rho / math.sqrt(1 + rho**2))


def at_time(t: float) -> Node:
    (node,) = score_sde.vp_nodes([t], continuous_vp(BETA_MIN, BETA_MAX))
    return node


def at_flow(z: float) -> Node:
    return Node(1 - z, z, z)


def time_of(lam: float) -> float:
    """The time of the linear beta schedule, by solving log(1 + e^{-2 lambda}) = t^2 (b1 - b0) / 2 + t b0."""
    log = math.log1p(math.exp(-2 * lam))
    return (-BETA_MIN + math.sqrt(BETA_MIN**2 + 2 * (BETA_MAX - BETA_MIN) * log)) / (BETA_MAX - BETA_MIN)


class Asked:
    """A prediction that notes at which nodes it was asked."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def __call__(self, node: Node) -> prediction.Conversion:
        self.nodes.append(node)
        return prediction.sample(node)


def grid(steps: int, flow: bool = False) -> list[Node]:
    rhos = np.exp(np.linspace(math.log(START), math.log(END), steps + 1))
    if flow:
        return [at_flow(float(r / (1 + r))) for r in rhos]
    return [at(float(r)) for r in rhos]


def error(solver: Solver, nodes: Sequence[Node]) -> float:
    """The largest error of a few trajectories at the last node."""
    asked = Asked()
    table = compile_solver(solver, nodes, asked, ("test", "sample"))
    visited = asked.nodes[len(asked.nodes) // 2 :]
    state = [start_at(nodes[0])]
    for row, node in zip(table.rows, visited, strict=True):
        m = denoise(state[0], node)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m)
            for line, b in zip(row.state, row.output, strict=True)
        ]
    return float(np.abs(state[0] - exact(nodes[0], nodes[-1])).max())


def start_at(node: Node) -> Array:
    """A few latents at a node."""
    return np.linspace(-2, 2, 9) * math.hypot(node.alpha, node.sigma)


@cache
def exact(start: Node, end: Node) -> Array:
    """The end of their trajectories: RK4 with 2000 steps in log rho on y = x / alpha, dy/dlog rho = y - D."""
    y = start_at(start) / start.alpha
    logs, h = np.linspace(math.log(start.rho), math.log(end.rho), 2001, retstep=True)

    def slope(y: Array, log: float) -> Array:
        return y - denoise(y, Node(1.0, math.exp(log)))

    for log in logs[:-1]:
        k_1 = slope(y, log)
        k_2 = slope(y + h / 2 * k_1, log + h / 2)
        k_3 = slope(y + h / 2 * k_2, log + h / 2)
        k_4 = slope(y + h * k_3, log + h)
        y = y + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    found: Array = end.alpha * y
    return found


RK = runge_kutta.runge_kutta
TIME = frames.vp_time(score_sde.linear_beta(BETA_MIN, BETA_MAX))
ONE_STEP: list[tuple[str, Solver, float]] = [
    ("DDIM", ddim.ddim(), 1),
    ("Euler", euler.euler(), 1),
    ("DPM-Solver++ 1", dpm_solver_pp.multistep(1), 1),
    ("DPM-Solver-1", dpm_solver.multistep(1), 1),
    ("iPNDM", adams.ipndm, 2),
    ("PLMS", pndm.plms(prediction.sample), 2),
    ("DPM-Solver++ 2S midpoint", dpm_solver_pp.singlestep(2), 2),
    ("DPM-Solver++ 2S exact", dpm_solver_pp.singlestep(2, "exact"), 2),
    ("DPM-Solver-2", dpm_solver.singlestep(2), 2),
    ("Heun", RK(runge_kutta.HEUN_2), 2),
    ("midpoint", RK(runge_kutta.MIDPOINT_2, at), 2),
    ("DPM-Solver++ 3S midpoint", dpm_solver_pp.singlestep(3), 3),
    ("DPM-Solver++ 3S exact", dpm_solver_pp.singlestep(3, "exact"), 3),
    ("DPM-Solver++ 3S midpoint of diffusers", dpm_solver_pp.singlestep(3, compat="diffusers"), 3),
    ("DPM-Solver-3 exact", dpm_solver.singlestep(3, "exact"), 3),
    ("rho-RK kutta3", RK(runge_kutta.KUTTA_3, at), 3),
    ("rho-RK ralston3", RK(runge_kutta.RALSTON_3, at), 3),
    ("rho-RK heun3", RK(runge_kutta.HEUN_3, at), 3),
    ("rho-RK vdh3", RK(runge_kutta.VAN_DER_HOUWEN_3, at), 3),
    ("rho-RK ssp3", RK(runge_kutta.SSP_3, at), 3),
    ("rho-RK 4", RK(runge_kutta.CLASSICAL_4, at), 4),
]
MULTISTEP: list[tuple[str, Solver, float]] = [
    ("DPM-Solver++ 2M midpoint", dpm_solver_pp.multistep(2), 2),
    ("DPM-Solver++ 2M exact", dpm_solver_pp.multistep(2, "exact"), 2),
    ("DPM-Solver 2M", dpm_solver.multistep(2), 2),
    ("DEIS-2 log rho", deis.log_rho(2), 2),
    ("DEIS tAB-1", deis.time(2, time_of), 2),
    ("LMS-2 = rho-AB", adams.lms(2), 2),
    ("UniPC-1", UniPC(1, lower_order_final=False), 2),
    ("DPM-Solver++ 3M", dpm_solver_pp.multistep(3), 3),
    ("DPM-Solver 3M", dpm_solver.multistep(3), 3),
    ("DEIS-3 log rho", deis.log_rho(3), 3),
    ("DEIS tAB-2", deis.time(3, time_of), 3),
    ("LMS-3", adams.lms(3), 3),
    ("UniPC-2 bh2", UniPC(2, lower_order_final=False), 3),
    ("UniPC-2 bh1", UniPC(2, "bh1", lower_order_final=False), 3),
    ("DPM-Solver++ 4M", dpm_solver_pp.multistep(4), 4),
    ("DEIS tAB-3", deis.time(4, time_of), 4),
    ("LMS-4", adams.lms(4), 4),
    ("UniPC-3", UniPC(3, lower_order_final=False), 4),
    ("DPM-Solver++ 3M of diffusers", dpm_solver_pp.multistep(3, compat="diffusers"), 2),
    ("DPM-Solver 3M of diffusers", dpm_solver.multistep(3, compat="diffusers"), 2),
]
FLOW: list[tuple[str, Solver, float]] = [
    ("Flow-Euler", euler.euler(frames.FLOW), 1),
    ("Flow-DPM-Solver++ 2M", dpm_solver_pp.multistep(2), 2),
    ("Flow-Heun", RK(runge_kutta.HEUN_2, frame=frames.FLOW), 2),
    ("Flow-RK 4", RK(runge_kutta.CLASSICAL_4, at_flow, frames.FLOW), 4),
]


def ids(case: object) -> str | None:
    return case if isinstance(case, str) else ""


def observed_order(solver: Solver, coarse: Sequence[Node], fine: Sequence[Node]) -> float:
    """The slope of the error between a grid and one of twice as many steps."""
    return math.log2(error(solver, coarse) / error(solver, fine))


@pytest.mark.parametrize(("name", "solver", "order"), ONE_STEP, ids=ids)
def test_order_of_one_step_solvers(name: str, solver: Solver, order: float) -> None:
    assert observed_order(solver, grid(96), grid(192)) == pytest.approx(order, abs=TOLERANCE)


@pytest.mark.parametrize(("name", "solver", "order"), MULTISTEP, ids=ids)
def test_order_of_multistep_solvers(name: str, solver: Solver, order: float) -> None:
    coarse, fine = (with_small_start(grid(n), order) for n in (96, 192))
    assert observed_order(solver, coarse, fine) == pytest.approx(order, abs=TOLERANCE)


@pytest.mark.parametrize(("name", "solver", "order"), FLOW, ids=ids)
def test_order_on_flow_levels(name: str, solver: Solver, order: float) -> None:
    coarse, fine = grid(64, flow=True), grid(128, flow=True)
    assert observed_order(solver, coarse, fine) == pytest.approx(order, abs=TOLERANCE)


def test_dpm2_is_of_order_2() -> None:
    def run(tape: Tape, nodes: Sequence[Node]) -> Value:
        middles = [Node(1.0, math.sqrt(a.sigma * b.sigma)) for a, b in itertools.pairwise(nodes)]
        return runge_kutta.dpm2(middles)(tape, nodes)

    coarse, fine = ([Node(1.0, node.rho) for node in grid(n)] for n in (96, 192))
    assert observed_order(run, coarse, fine) == pytest.approx(2, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (euler.euler(TIME), 1),
        (RK(runge_kutta.HEUN_2, frame=TIME), 2),
        (RK(runge_kutta.CLASSICAL_4, at_time, TIME), 4),
        (adams.lms(3, TIME), 3),
        (deis.time(3, time_of), 3),
    ],
    ids=["Euler in time", "Heun in time", "RK4 in time", "AB-3 in time", "DEIS tAB-2"],
)
def test_order_on_the_continuous_schedule(solver: Solver, order: float) -> None:
    def nodes(n: int) -> list[Node]:
        times = np.linspace(time_of(-math.log(START)), time_of(-math.log(END)), n + 1)
        first = times[0] + (times[1] - times[0]) ** 2 * -4
        return score_sde.vp_nodes(
            [float(t) for t in (times[0], first, *times[1:])], continuous_vp(BETA_MIN, BETA_MAX)
        )

    assert observed_order(solver, nodes(96), nodes(192)) == pytest.approx(order, abs=TOLERANCE)


def with_small_start(nodes: Sequence[Node], order: float) -> list[Node]:
    """The nodes, with first steps h^(p / 2), h^(p / 3), .., whose orders 1, 2, .. then cost no more than order p of the rest."""
    h, first = nodes[1].lam - nodes[0].lam, nodes[0].lam
    starts = np.cumsum([h ** (order / (k + 1)) for k in range(1, round(order) - 1)])
    return [nodes[0], *(at(math.exp(-first - float(lam))) for lam in starts), *nodes[1:]]
