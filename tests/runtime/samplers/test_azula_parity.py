"""Samplers of azula, whose multistep methods have exact weights of any order, run by its own code: same denoiser, levels, noise.

Its DDIM multiplies the variance by eta, the paper the standard deviation: its eta is the square of ours.
"""

import math
import types
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fewstep.samplers import (
    adams,
    ddim,
    ddpm,
    deis,
    dpm_solver,
    dpm_solver_pp,
    euler,
    frames,
    prediction,
    runge_kutta,
)
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Solver, compile_solver

pytestmark = pytest.mark.slow  # the package is no dependency of ours
Array = npt.NDArray[np.float64]
STD, STEPS, STOP = 0.3, 9, 0.02
TIMES = [1 + (STOP - 1) * i / STEPS for i in range(STEPS + 1)]


def cosine(t: Any) -> tuple[Any, Any]:
    """Alpha and sigma of a variance-preserving schedule, for a number or a tensor."""
    cos, sin = (torch.cos, torch.sin) if isinstance(t, torch.Tensor) else (math.cos, math.sin)
    return cos(1.5 * t), sin(1.5 * t)


def flow(t: Any) -> tuple[Any, Any]:
    """Alpha and sigma of flow matching, from just below 1, where azula divides by alpha."""
    return 1 - 0.999 * t, 0.999 * t


def denoise(x: Any, alpha: Any, sigma: Any) -> Any:
    """The exact denoiser of half N(-1, 0.3^2), half N(1, 0.3^2)."""
    tanh = torch.tanh if isinstance(x, torch.Tensor) else np.tanh
    variance = (alpha * STD) ** 2 + sigma**2
    mean = tanh(alpha * x / variance)
    return mean + alpha * STD**2 / variance * (x - alpha * mean)


class Denoiser:
    """The denoiser as azula calls it."""

    def __init__(self, schedule: Any) -> None:
        self.schedule = schedule

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> types.SimpleNamespace:
        return types.SimpleNamespace(mean=denoise(x, *self.schedule(t)))


CASES: list[tuple[str, dict[str, Any], Solver, Any]] = [
    ("DDPMSampler", {}, ddpm.ddpm(last_noise=True), cosine),
    ("DDIMSampler", {}, ddim.ddim(), cosine),
    ("DDIMSampler", {"eta": 0.25}, ddim.ddim(0.5), cosine),
    ("DDIMSampler", {"eta": 0.25}, ddim.ddim(0.5), flow),
    ("EulerSampler", {}, euler.euler(), cosine),
    ("HeunSampler", {}, runge_kutta.runge_kutta(runge_kutta.HEUN_2), cosine),
    *(("zABSampler", {"order": n}, adams.lms(n), cosine) for n in (1, 2, 3, 4)),
    *(("vABSampler", {"order": n}, adams.lms(n, frames.FLOW), flow) for n in (1, 2, 3, 4)),
    *(("zEABSampler", {"order": n}, deis.log_rho(n), cosine) for n in (1, 2, 3, 4)),
    *(("zEABSampler", {"order": n}, dpm_solver.multistep(n, "exact"), flow) for n in (2, 3)),
    *(("xEABSampler", {"order": n}, dpm_solver_pp.multistep(n, "exact"), cosine) for n in (1, 2, 3, 4)),
    *(("xEABSampler", {"order": n}, dpm_solver_pp.multistep(n, "exact"), flow) for n in (2, 3)),
]


@pytest.mark.parametrize(("name", "settings", "solver", "schedule"), CASES)
def test_azula_ends_where_the_table_does(
    name: str,
    settings: dict[str, Any],
    solver: Solver,
    schedule: Any,
    load_alone: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = load_alone("azula.sample", {"azula.denoise": {"Denoiser": object}, "azula.nn": {}})
    random = np.random.default_rng(0)
    initial, draws = random.standard_normal((2, 4, 4)), random.standard_normal((STEPS, 2, 4, 4))
    given = iter(torch.from_numpy(draws))
    monkeypatch.setattr(torch, "randn_like", lambda _x: next(given))
    sampler = getattr(reference, name)(
        Denoiser(schedule), start=1.0, stop=STOP, steps=STEPS, silent=True, dtype=torch.float64, **settings
    )
    expected = sampler(torch.from_numpy(initial)).numpy()
    np.testing.assert_allclose(table_run(solver, schedule, initial, draws), expected, rtol=0, atol=1e-12)


def table_run(solver: Solver, schedule: Any, initial: Array, draws: Array) -> Array:
    """The end of the table in float64; one step has one draw, whatever its evaluations."""
    asked: list[Node] = []

    def predicted(node: Node) -> prediction.Conversion:
        asked.append(node)
        return prediction.sample(node)

    table = compile_solver(solver, [Node(*schedule(t)) for t in TIMES], predicted, ("azula", "sample"))
    state, left = [initial], iter(draws)
    for row, node in zip(table.rows, asked[-len(table.rows) :], strict=True):
        m = denoise(state[0], node.alpha, node.sigma)
        n = next(left) if row.noise else np.zeros_like(initial)
        drawn = row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
            for line, b, k in zip(row.state, row.output, drawn, strict=True)
        ]
    return state[0]
