"""Every deterministic solver converges with the order it claims, on a Gaussian mixture with the exact denoiser.

Data: half N(-1, 0.3^2), half N(1, 0.3^2). The grid is uniform in lambda from rho = 6 to 0.25, and the order is
the slope between two large step counts.
"""

import math
from collections.abc import Sequence

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
    prediction,
    runge_kutta,
    score_sde,
    straight,
)
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.beta import continuous_vp
from fewstep.samplers.tape import Solver, compile_solver
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
    initial = np.linspace(-2, 2, 9) * math.hypot(nodes[0].alpha, nodes[0].sigma)
    state = [initial]
    for row, node in zip(table.rows, visited, strict=True):
        m = denoise(state[0], node)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m)
            for line, b in zip(row.state, row.output, strict=True)
        ]
    return float(np.abs(state[0] - exact(initial, nodes[0], nodes[-1])).max())


def exact(initial: Array, start: Node, end: Node) -> Array:
    """RK4 with 2000 steps in log rho on y = x / alpha, dy/dlog rho = y - D."""
    y = initial / start.alpha
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
ONE_STEP: list[tuple[str, Solver, float]] = [
    ("DDIM", ddim.ddim(), 1),
    ("Euler", euler.euler(), 1),
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
    ("DPM-Solver++ 3M of diffusers", dpm_solver_pp.multistep(3, compat="diffusers"), 2),
    ("DPM-Solver 3M of diffusers", dpm_solver.multistep(3, compat="diffusers"), 2),
]
FLOW: list[tuple[str, Solver, float]] = [
    ("Flow-Euler", euler.euler(straight.FLOW), 1),
    ("Flow-DPM-Solver++ 2M", dpm_solver_pp.multistep(2), 2),
    ("Flow-Heun", RK(runge_kutta.HEUN_2, frame=straight.FLOW), 2),
    ("Flow-RK 4", RK(runge_kutta.CLASSICAL_4, at_flow, straight.FLOW), 4),
]


def ids(case: object) -> str | None:
    return case if isinstance(case, str) else ""


def orders(solver: Solver, grids: Sequence[Sequence[Node]]) -> Array:
    found: Array = -np.diff(np.log2([error(solver, nodes) for nodes in grids]))
    return found


@pytest.mark.parametrize(("name", "solver", "order"), ONE_STEP, ids=ids)
def test_order_of_one_step_solvers(name: str, solver: Solver, order: float) -> None:
    np.testing.assert_allclose(orders(solver, [grid(n) for n in (48, 96, 192)])[-1], order, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "solver", "order"), MULTISTEP, ids=ids)
def test_order_of_multistep_solvers(name: str, solver: Solver, order: float) -> None:
    """With a first step of h^2, so that its first order costs no more than the third order of the rest."""
    np.testing.assert_allclose(
        orders(solver, [with_small_start(grid(n)) for n in (96, 192, 384)])[-1], order, atol=TOLERANCE
    )


@pytest.mark.parametrize(("name", "solver", "order"), FLOW, ids=ids)
def test_order_on_flow_levels(name: str, solver: Solver, order: float) -> None:
    np.testing.assert_allclose(
        orders(solver, [grid(n, flow=True) for n in (48, 96, 192)])[-1], order, atol=TOLERANCE
    )


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (score_sde.probability_flow_euler(score_sde.linear_beta(BETA_MIN, BETA_MAX)), 1),
        (deis.time(3, time_of), 3),
    ],
    ids=["Euler in time", "DEIS tAB-2"],
)
def test_order_on_the_continuous_schedule(solver: Solver, order: float) -> None:
    def nodes(n: int) -> list[Node]:
        times = np.linspace(time_of(-math.log(START)), time_of(-math.log(END)), n + 1)
        first = times[0] + (times[1] - times[0]) ** 2 * -4
        return score_sde.vp_nodes(
            [float(t) for t in (times[0], first, *times[1:])], continuous_vp(BETA_MIN, BETA_MAX)
        )

    np.testing.assert_allclose(orders(solver, [nodes(n) for n in (96, 192, 384)])[-1], order, atol=TOLERANCE)


def with_small_start(nodes: Sequence[Node]) -> list[Node]:
    h = nodes[1].lam - nodes[0].lam
    return [nodes[0], at(math.exp(-nodes[0].lam - h**2)), *nodes[1:]]
