"""Stochastic solvers draw from the right distribution: data N(0.4, 0.6^2) with the exact denoiser, many runs at once.

The mean of n runs has the standard error s / sqrt(n), their variance s^2 sqrt(2 / n); five of them are allowed, and the
discretisation of 400 steps.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from fewstep.samplers import consistency, ddim, ddpm, dpm_solver, dpm_solver_pp, euler, prediction, score_sde
from fewstep.samplers.node import Node
from fewstep.samplers.sa_solver import SASolver
from fewstep.samplers.schedules.beta import continuous_vp
from fewstep.samplers.schedules.flow import flow_node
from fewstep.samplers.tape import Solver, compile_solver

Array = npt.NDArray[np.float64]
MEAN, STD, RUNS, STEPS = 0.4, 0.6, 20_000, 400
DISCRETISATION = 0.01
Denoiser = Callable[[Array, Node], Array]


def posterior_mean(x: Array, node: Node) -> Array:
    variance = (node.alpha * STD) ** 2 + node.sigma**2
    found: Array = MEAN + node.alpha * STD**2 / variance * (x - node.alpha * MEAN)
    return found


def consistency_function(x: Array, node: Node) -> Array:
    """Where the probability-flow ODE carries x: what a consistency model predicts."""
    spread = math.hypot(node.alpha * STD, node.sigma)
    found: Array = MEAN + STD / spread * (x - node.alpha * MEAN)
    return found


def times(last: float, steps: int) -> Array:
    return np.linspace(1.0, last ** (1 / 2), steps + 1) ** 2


def vp(steps: int, last: float = 1e-4) -> list[Node]:
    return score_sde.vp_nodes([float(t) for t in times(last, steps)], continuous_vp())


def ve(steps: int) -> list[Node]:
    return [Node(1.0, float(s)) for s in np.geomspace(30, 1e-3, steps + 1)]


def flow(steps: int) -> list[Node]:
    return [flow_node(float(s)) for s in np.linspace(1.0, 0.0, steps + 1)]


def runs(solver: Solver, nodes: Sequence[Node], denoiser: Denoiser) -> Array:
    table = compile_solver(solver, nodes, prediction.sample, ("test", "sample"))
    random = np.random.default_rng(7)
    spread = math.hypot(nodes[0].alpha * STD, nodes[0].sigma)  # begin with the right marginal
    state = [nodes[0].alpha * MEAN + spread * random.standard_normal(RUNS)]
    for row, node in zip(table.rows, nodes, strict=False):
        m, n = denoiser(state[0], node), random.standard_normal(RUNS)
        drawn = row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
            for line, b, k in zip(row.state, row.output, drawn, strict=True)
        ]
    return state[0]


BETA = score_sde.linear_beta()
CASES: list[tuple[str, Solver, list[Node], Denoiser]] = [
    ("DDPM small", ddpm.ddpm("small"), vp(STEPS), posterior_mean),
    ("DDPM large", ddpm.ddpm("large"), vp(STEPS), posterior_mean),
    ("DDIM eta 1", ddim.ddim(1.0), vp(STEPS), posterior_mean),
    ("DDIM eta 0.5", ddim.ddim(0.5), vp(STEPS), posterior_mean),
    ("DDIM eta 1, flow", ddim.ddim(1.0), flow(STEPS), posterior_mean),
    ("Euler-Maruyama", score_sde.euler_maruyama(BETA), vp(4 * STEPS, 1e-3), posterior_mean),
    ("reverse diffusion VP", score_sde.reverse_diffusion_vp(BETA), vp(4 * STEPS, 1e-3), posterior_mean),
    ("reverse diffusion VE", score_sde.reverse_diffusion_ve, ve(4 * STEPS), posterior_mean),
    ("SDE-DPM-Solver++ 1", dpm_solver_pp.sde(1), vp(STEPS), posterior_mean),
    ("SDE-DPM-Solver++ 2M", dpm_solver_pp.sde(2), vp(40), posterior_mean),
    ("SDE-DPM-Solver++ 2M exact", dpm_solver_pp.sde(2, "exact"), vp(40), posterior_mean),
    ("SDE-DPM-Solver++ 3M", dpm_solver_pp.sde(3), vp(40), posterior_mean),
    ("SDE-DPM-Solver++ 2M, flow", dpm_solver_pp.sde(2), flow(100), posterior_mean),
    ("SDE-DPM-Solver 2M", dpm_solver.sde(2), vp(80), posterior_mean),
    ("SA-Solver", SASolver(tau=lambda _: 0.8), vp(80), posterior_mean),
    ("Euler-ancestral", euler.euler_ancestral(), ve(STEPS), posterior_mean),
    ("Euler-ancestral, flow", euler.euler_ancestral_flow(), flow(STEPS), posterior_mean),
    ("renoise (LCM, DMD2)", consistency.renoise, vp(4), consistency_function),
    ("renoise, flow", consistency.renoise, flow(4), consistency_function),
    ("TCD gamma 1", consistency.tcd(1.0, [Node(1.0, 0.0)] * 4), vp(4), consistency_function),
    ("consistency", consistency.consistency(1e-3), ve(4), consistency_function),
]


@pytest.mark.parametrize(("name", "solver", "nodes", "denoiser"), CASES, ids=[name for name, *_ in CASES])
def test_mean_and_variance_are_those_of_the_data(
    name: str, solver: Solver, nodes: list[Node], denoiser: Denoiser
) -> None:
    samples = runs(solver, nodes, denoiser)
    assert abs(samples.mean() - MEAN) < 5 * STD / math.sqrt(RUNS) + DISCRETISATION * STD
    assert abs(samples.var() / STD**2 - 1) < 5 * math.sqrt(2 / RUNS) + 2 * DISCRETISATION


def test_first_orders_of_three_families_are_one_sampler() -> None:
    """SDE-DPM-Solver++ 1 = DDIM(1) = DDPM with the posterior's variance, to rounding (Lu et al. 2022b, section 6)."""
    nodes = vp(10)
    tables = [
        compile_solver(solver, nodes, prediction.epsilon, ("test", "epsilon"))
        for solver in (dpm_solver_pp.sde(1), ddim.ddim(1.0), ddpm.ddpm("small", last_noise=True))
    ]
    for row, *others in zip(*(table.rows for table in tables), strict=True):
        for other in others:
            for field in ("state", "output", "noise"):
                np.testing.assert_allclose(getattr(row, field), getattr(other, field), rtol=1e-9, atol=1e-12)
