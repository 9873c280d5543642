"""Samplers that k-diffusion defined, run by its own code: same denoiser, same levels, same noise.

Only its file of samplers is loaded, with empty modules for what it imports and these samplers do not use; the package
itself asks for training tools. Install it as `pip install --no-deps k-diffusion==0.1.1.post1`.
"""

import importlib.util
import itertools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewstep.samplers import adams, dpm_solver_pp, euler, prediction, runge_kutta
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, compile_solver

STD = 0.3
SIGMAS = [14.6, 8.0, 4.4, 2.5, 1.4, 0.8, 0.45, 0.2, 0.08]
CLEAN = [*SIGMAS, 0.0]


def module(name: str, **names: object) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names)
    return made


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.find_spec("k_diffusion")  # finds, does not import
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs k-diffusion: pip install --no-deps k-diffusion==0.1.1.post1")
    folder = Path(spec.submodule_search_locations[0])
    utils = module("k_diffusion.utils", append_dims=lambda x, n: x[(...,) + (None,) * (n - x.ndim)])
    for made in (
        module("scipy.integrate"),
        module("torchdiffeq", odeint=None),
        module("torchsde"),
        module("k_diffusion", __path__=[str(folder)], utils=utils),
        utils,
    ):
        if importlib.util.find_spec(made.__name__) is None or made.__name__.startswith("k_diffusion"):
            monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.delitem(sys.modules, "k_diffusion.sampling", raising=False)
    return importlib.import_module("k_diffusion.sampling")


def denoise(x: Any, sigma: float, tanh: Callable[[Any], Any]) -> Any:
    """The exact denoiser of half N(-1, 0.3^2), half N(1, 0.3^2)."""
    variance = STD**2 + sigma**2
    return (STD**2 * x + sigma**2 * tanh(x / variance)) / variance


CASES: list[tuple[str, Solver, list[float], dict[str, Any]]] = [
    ("sample_euler", euler.euler(), CLEAN, {}),
    ("sample_euler_ancestral", euler.euler_ancestral(), CLEAN, {}),
    ("sample_heun", runge_kutta.runge_kutta(runge_kutta.HEUN_2), CLEAN, {}),
    ("sample_lms", adams.lms(4), CLEAN, {"order": 4}),
    ("sample_dpmpp_2m", dpm_solver_pp.multistep(2), CLEAN, {}),
    ("sample_dpmpp_2m", dpm_solver_pp.multistep(2), SIGMAS, {}),
    ("sample_dpmpp_2m_sde", dpm_solver_pp.sde(2), CLEAN, {"solver_type": "midpoint"}),
    ("sample_dpmpp_2m_sde", dpm_solver_pp.sde(2, "exact"), CLEAN, {"solver_type": "heun"}),
    (
        "sample_dpm_2",
        runge_kutta.dpm2([Node(1.0, (a * b) ** 0.5) for a, b in itertools.pairwise(SIGMAS)]),
        CLEAN,
        {},
    ),
]


@pytest.mark.slow  # the package is no dependency of ours
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
