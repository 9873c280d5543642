"""Samplers that k-diffusion defined, run by its own code: same denoiser, same levels, same noise.

Only its file of samplers is loaded; the package itself asks for training tools.
"""

import itertools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fewstep.samplers import adams, dpm_solver_pp, euler, prediction, runge_kutta
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, compile_solver

pytestmark = pytest.mark.slow  # the package is no dependency of ours
STD = 0.3
SIGMAS = [14.6, 8.0, 4.4, 2.5, 1.4, 0.8, 0.45, 0.2, 0.08]
CLEAN = [*SIGMAS, 0.0]


@pytest.fixture
def reference(load_alone: Any) -> Any:
    def append_dims(x: torch.Tensor, n: int) -> torch.Tensor:
        return x[(...,) + (None,) * (n - x.ndim)]

    utils = types.SimpleNamespace(append_dims=append_dims)
    stand_ins: dict[str, dict[str, object]] = {
        "torchdiffeq": {"odeint": None},
        "torchsde": {},
        "k_diffusion": {"utils": utils},
    }
    return load_alone("k_diffusion.sampling", stand_ins)


def denoise(x: Any, sigma: float, tanh: Callable[[Any], Any]) -> Any:
    """The exact denoiser of half N(-1, 0.3^2), half N(1, 0.3^2)."""
    variance = STD**2 + sigma**2
    return (STD**2 * x + sigma**2 * tanh(x / variance)) / variance


def middles(eta: float) -> list[Node]:
    """Stages at the geometric mean of a level and the one that is stepped down to."""
    pairs = itertools.pairwise(SIGMAS)
    return [Node(1.0, (a * runge_kutta.ancestral_levels(a, b, eta)[0]) ** 0.5) for a, b in pairs]


CASES: list[tuple[str, Solver, list[float], dict[str, Any]]] = [
    ("sample_euler", euler.euler(), CLEAN, {}),
    ("sample_euler_ancestral", euler.euler_ancestral(), CLEAN, {}),
    ("sample_heun", runge_kutta.runge_kutta(runge_kutta.HEUN_2), CLEAN, {}),
    ("sample_lms", adams.lms(4), CLEAN, {"order": 4}),
    ("sample_dpmpp_2m", dpm_solver_pp.multistep(2), CLEAN, {}),
    ("sample_dpmpp_2m", dpm_solver_pp.multistep(2), SIGMAS, {}),
    ("sample_dpmpp_2m_sde", dpm_solver_pp.sde(2), CLEAN, {"solver_type": "midpoint"}),
    ("sample_dpmpp_2m_sde", dpm_solver_pp.sde(2, "exact"), CLEAN, {"solver_type": "heun"}),
    ("sample_dpm_2", runge_kutta.dpm2(middles(eta=0.0)), CLEAN, {}),
    ("sample_dpm_2_ancestral", runge_kutta.dpm2(middles(eta=1.0), eta=1.0), CLEAN, {}),
]


@pytest.mark.parametrize(("name", "solver", "sigmas", "settings"), CASES)
def test_k_diffusion_ends_where_the_table_does(
    name: str, solver: Solver, sigmas: list[float], settings: dict[str, Any], reference: Any
) -> None:
    random = np.random.default_rng(0)
    initial = sigmas[0] * random.standard_normal((1, 2, 4, 4))
    draws = random.standard_normal((3 * len(sigmas), *initial.shape))
    asked: list[Node] = []

    def predicted(node: Node) -> prediction.Conversion:
        asked.append(node)
        return prediction.sample(node)

    nodes = [Node(1.0, sigma) for sigma in sigmas]
    table = compile_solver(solver, nodes, predicted, (name, "sample"))
    state, left = [initial], iter(draws)
    for row, node in zip(table.rows, asked[-len(table.rows) :], strict=True):
        m = denoise(state[0], node.sigma, np.tanh)
        n = next(left) if row.noise else np.zeros_like(initial)
        drawn = row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
            for line, b, k in zip(row.state, row.output, drawn, strict=True)
        ]
    if table.stochastic:
        given = iter(torch.from_numpy(draws))
        settings = {**settings, "noise_sampler": lambda _a, _b: next(given)}
    expected = getattr(reference, name)(
        lambda x, sigma: denoise(x, float(sigma.reshape(-1)[0]), torch.tanh),
        torch.from_numpy(initial),
        torch.tensor(sigmas, dtype=torch.float64),
        disable=True,
        **settings,
    )
    np.testing.assert_allclose(state[0], expected.numpy(), rtol=0, atol=1e-12)
