"""Samplers: golden rows of diffusers, exactness, orders of convergence on a Gaussian with a known flow."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep.samplers import SAMPLERS, compile_table, flow_sigmas, flow_table
from fewstep.step_table import StepTable

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "probed_step_tables.json").read_text())
Sampler = Callable[[Sequence[float]], StepTable]
flow_euler = partial(flow_table, "flow-euler")
flow_dpm_solver_pp_2m = partial(flow_table, "flow-dpm++2m")


def shifted(u: Sequence[float], shift: float) -> list[float]:
    return [shift * v / (1 + (shift - 1) * v) for v in u]


def dpm_grid(steps: int) -> list[float]:
    """Diffusers' DPMSolverMultistepScheduler with flow sigmas and shift 3: u evenly from 0.999 to 0."""
    return [*shifted(np.linspace(1 - 1 / 1000, 0, steps + 1)[:-1].tolist(), 3.0), 0.0]


def euler_grid(steps: int) -> list[float]:
    """Diffusers' FlowMatchEulerDiscreteScheduler with shift 3, which shifts its smallest sigma twice."""
    (smallest,) = shifted([1 / 1000], 3.0)
    return [*shifted(np.linspace(1, smallest, steps).tolist(), 3.0), 0.0]


def latents(table: StepTable) -> np.ndarray:
    """x_1 .. x_N on [x_0, m_0 .. m_{N-1}]."""
    state, found = np.eye(1, 1 + len(table.rows)), []
    for i, row in enumerate(table.rows):
        state = np.array(row.state) @ state
        state[:, 1 + i] += row.output
        found.append(state[0])
    return np.array(found)


def probed_latents(entry: dict[str, Any]) -> np.ndarray:
    """The same from rows on all x_j and m_j."""
    n = len(entry["latent"])
    xs = np.eye(1, 1 + n)
    for latent, output in zip(entry["latent"], entry["output"], strict=True):
        x = np.array(latent) @ xs[: len(latent)]
        x[1 : 1 + len(output)] += output
        xs = np.vstack([xs, x])
    return xs[1:]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("FlowMatchEuler shift=3", flow_euler(euler_grid(8))),
        ("Flow-DPM-Solver++ 2M shift=3", flow_dpm_solver_pp_2m(dpm_grid(8))),
        ("Flow-DPM-Solver++ 2M shift=3 20 steps", flow_dpm_solver_pp_2m(dpm_grid(20))),
    ],
)
def test_rows_equal_the_probed_rows_of_diffusers(name: str, table: StepTable) -> None:
    (golden,) = [entry for entry in GOLDEN["tables"] if entry["name"] == name]
    np.testing.assert_allclose(latents(table), probed_latents(golden), rtol=0, atol=2e-14)


def test_default_grid_is_that_of_sd3() -> None:
    expected = [1, 0.95455, 0.9, 0.83333, 0.75, 0.64286, 0.5, 0.3, 0]
    np.testing.assert_allclose(flow_sigmas(8, 3.0), expected, atol=5e-6)
    assert flow_sigmas(1, 3.0) == (1.0, 0.0)


def test_the_network_is_told_a_thousand_sigma() -> None:
    table = compile_table("flow-dpm++2m", 8, 3.0)
    assert [row.timestep for row in table.rows] == [1000 * sigma for sigma in flow_sigmas(8, 3.0)[:-1]]


def test_infinite_log_snr_at_either_end_makes_the_step_first_order() -> None:
    rows = flow_dpm_solver_pp_2m([1.0, 0.8, 0.5, 0.2, 0.0]).rows
    assert [len(row.entry) for row in rows] == [1, 1, 2, 1]  # D is kept for the third row alone
    assert rows[-1].output == (-rows[-1].timestep / 1000,)  # D = x - sigma m


def solve(table: StepTable, x: float, velocity: Callable[[float, float], float]) -> float:
    """The table in float64 on one number, from its rows as the docstring of step_table defines them."""
    state = np.array([x])
    for row in table.rows:
        m = velocity(row.input_scale * float(state[0]), row.timestep / 1000)
        state = np.array(row.state) @ state + np.array(row.output) * m
    return float(state[0])


def gaussian_velocity(mean: float, std: float) -> Callable[[Any, float], Any]:
    """The exact velocity eps - x0 for x0 ~ N(mean, std^2) and x = (1 - sigma) x0 + sigma eps."""

    def velocity(x: Any, sigma: float) -> Any:
        alpha = 1 - sigma
        gain = (sigma - alpha * std**2) / (alpha**2 * std**2 + sigma**2)
        return gain * (x - alpha * mean) - mean

    return velocity


def gaussian_flow(x: Any, start: float, end: float, mean: float, std: float) -> Any:
    """Where the exact flow carries x: the distance from the mean grows as the standard deviation does."""
    spread = [math.hypot((1 - sigma) * std, sigma) for sigma in (start, end)]
    return (1 - end) * mean + spread[1] / spread[0] * (x - (1 - start) * mean)


@pytest.mark.parametrize("sampler", [flow_euler, flow_dpm_solver_pp_2m])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_point_is_reached_exactly(sampler: Sampler, steps: int) -> None:
    """All data at one point: D is constant, and a data-form solver of any order makes no error."""
    found = solve(sampler(flow_sigmas(steps, 3.0)), -0.7, gaussian_velocity(0.4, 0.0))
    assert found == pytest.approx(0.4, abs=1e-14)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "flow-renoise"])
def test_every_named_sampler_asks_once_a_step_and_nears_the_data(sampler: str) -> None:
    """From noise to data N(0.4, 0.6^2) with the exact velocity and without its noise: more steps come nearer to the flow."""
    mean, std, x = 0.4, 0.6, -0.7
    exact = gaussian_flow(x, 1.0, 0.0, mean, std)
    tables = [compile_table(sampler, steps, 3.0) for steps in (5, 60)]
    assert [len(table.rows) for table in tables] == [5, 60]
    assert [table.name for table in tables] == [f"{sampler}-5", f"{sampler}-60"]
    if not tables[0].stochastic:
        few, many = (abs(solve(table, x, gaussian_velocity(mean, std)) - exact) for table in tables)
        assert many < few / 5
        assert many < 0.02


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if compile_table(s, 4, 3.0).stochastic])
def test_named_samplers_with_noise_have_the_right_marginal(sampler: str) -> None:
    """Mean and variance of 20,000 runs of 300 steps; five standard errors, and 2 % for the steps."""
    mean, std, runs, random = 0.4, 0.6, 20_000, np.random.default_rng(5)
    table = compile_table(sampler, 300, 3.0)
    state = [random.standard_normal(runs)]
    for row in table.rows:
        sigma = row.timestep / 1000
        m = gaussian_velocity(mean, std)(state[0], sigma)
        if sampler == "flow-renoise":  # for networks that predict the end of the trajectory
            m = (state[0] - gaussian_flow(state[0], sigma, 0.0, mean, std)) / sigma
        n, drawn = random.standard_normal(runs), row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
            for line, b, k in zip(row.state, row.output, drawn, strict=True)
        ]
    assert abs(state[0].mean() - mean) < 5 * std / math.sqrt(runs) + 0.02 * std
    assert abs(state[0].var() / std**2 - 1) < 5 * math.sqrt(2 / runs) + 0.04


def errors_on_a_gaussian(sampler: Sampler, start: float, end: float, steps: Sequence[int]) -> list[float]:
    mean, std, x = 0.4, 0.6, -0.7
    exact = gaussian_flow(x, start, end, mean, std)
    tables = [sampler(np.linspace(start, end, n + 1).tolist()) for n in steps]
    return [abs(solve(table, x, gaussian_velocity(mean, std)) - exact) for table in tables]


@pytest.mark.parametrize(("sampler", "order"), [(flow_euler, 1.0), (flow_dpm_solver_pp_2m, 2.0)])
def test_order_of_convergence_on_a_gaussian(sampler: Sampler, order: float) -> None:
    slopes = -np.diff(np.log2(errors_on_a_gaussian(sampler, 0.9, 0.1, (40, 80, 160, 320))))
    np.testing.assert_allclose(slopes, order, atol=0.12)


def test_from_noise_to_data_the_second_order_pays_in_full() -> None:
    """At sigma = 1 and 0 lambda is infinite, so 2M nears its order only slowly: the slope grows towards 2."""
    steps = (20, 80, 320, 1280)
    euler = errors_on_a_gaussian(flow_euler, 1.0, 0.0, steps)
    multistep = errors_on_a_gaussian(flow_dpm_solver_pp_2m, 1.0, 0.0, steps)
    slopes = -np.diff(np.log2(multistep)) / 2
    assert all(np.diff(slopes) > 0)
    assert 1.75 < slopes[-1] < 2.0
    assert multistep[0] < euler[0] / 5
    assert multistep[-1] < euler[-1] / 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flow_sigmas(0), "expected at least 1 step, found 0"),
        (lambda: flow_sigmas(4, 0.0), "expected a timestep shift above 0, found 0.0"),
        (lambda: flow_euler([1.0]), "expected at least 2 noise levels, found 1"),
        (lambda: flow_euler([0.0, 0.5]), "expected noise levels that fall .* found 0.0 then 0.5 at step 0"),
        (lambda: flow_euler([1.0, 0.5, float("nan")]), "found 0.5 then nan at step 1"),
        (lambda: compile_table("ddim", 4, 1.0), "expected one of the samplers flow-euler.* found 'ddim'"),
        (
            lambda: compile_table("rk45", 4, 1.0),
            "expected a sampler with fixed steps, found 'rk45', whose step size depends on the latents; choose flow-",
        ),
    ],
)
def test_settings_that_make_no_table_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        call()
