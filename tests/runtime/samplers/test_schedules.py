"""Noise schedules against their formulas, against scipy, and what they refuse."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import FewstepError
from fewstep.samplers import compile_solver, prediction, runge_kutta
from fewstep.samplers.exponential import lagrange_weights, moments
from fewstep.samplers.node import Node
from fewstep.samplers.schedules import beta, edm, flow, sigmas, trigflow
from fewstep.samplers.schedules.spacing import spaced, spaced_open


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.2, 5), st.floats(0.2, 5))
def test_the_incomplete_beta_function_is_that_of_scipy(x: float, a: float, b: float) -> None:
    assert sigmas.incomplete_beta(x, a, b) == pytest.approx(float(scipy.special.betainc(a, b, x)), abs=1e-13)


@given(st.floats(0, 1))
def test_its_quantiles_are_those_of_scipy(p: float) -> None:
    found = sigmas.beta_quantile(p, 0.6, 0.6)
    assert found == pytest.approx(float(scipy.stats.beta.ppf(p, 0.6, 0.6)), abs=1e-11)


@pytest.mark.parametrize("levels", [sigmas.karras_sigmas, sigmas.exponential_sigmas, sigmas.beta_sigmas])
def test_levels_fall_from_the_largest_to_the_smallest(
    levels: Callable[[int, float, float], np.ndarray],
) -> None:
    found = levels(20, 0.03, 14.6)
    assert (np.diff(found) < 0).all()
    np.testing.assert_allclose(found[[0, -1]], [14.6, 0.03], rtol=1e-12)
    with pytest.raises(FewstepError, match="expected at least 1 step and 0 < smallest"):
        levels(4, 0.0, 1.0)


def test_a_rescaled_schedule_has_no_signal_at_its_end() -> None:
    before = np.cumprod(1 - beta.scaled_linear_betas(0.00085, 0.012, 1000), dtype=np.float64)
    after = beta.rescale_zero_terminal_snr(before)
    assert after[-1] == 0
    assert after[0] == pytest.approx(before[0], rel=1e-14)
    node = beta.DiscreteLevels(after).at_alpha_bar(999)
    assert (node.alpha, node.sigma, node.lam) == (0.0, 1.0, -math.inf)
    with pytest.raises(FewstepError, match="expected a signal-to-noise ratio above 0"):
        prediction.epsilon(node)


def test_a_shifted_schedule_has_its_signal_to_noise_ratio_divided() -> None:
    before = np.cumprod(1 - beta.linear_betas(1e-4, 0.02, 1000), dtype=np.float64)
    after = beta.shift_snr(before, 4.0)
    np.testing.assert_allclose(after / (1 - after), before / (1 - before) / 4, rtol=1e-11)


def test_the_cosine_schedule_follows_its_formula() -> None:
    found = np.cumprod(1 - beta.cosine_betas(1000))
    t = (np.arange(1000) + 1) / 1000
    expected = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=1e-9)  # the last beta is cut at 0.999


@pytest.mark.parametrize("exploding", [False, True])
@given(timestep=st.floats(0, 999))
def test_timesteps_and_levels_are_inverse(exploding: bool, timestep: float) -> None:
    schedule = beta.DiscreteLevels(
        np.cumprod(1 - beta.linear_betas(1e-4, 0.02, 1000), dtype=np.float64), exploding
    )
    node = schedule.at_timestep(timestep)
    assert schedule.timestep_of(node.rho) == pytest.approx(
        timestep, abs=0.2
    )  # linear in rho, then in log rho
    assert math.hypot(node.alpha, node.sigma) * node.input_scale == pytest.approx(1)


def test_spacings() -> None:
    np.testing.assert_array_equal(spaced("linspace", 1000, 4), [999, 666, 333, 0])
    np.testing.assert_array_equal(spaced("leading", 1000, 4, 1), [751, 501, 251, 1])
    np.testing.assert_array_equal(spaced("trailing", 1000, 4), [999, 749, 499, 249])
    np.testing.assert_array_equal(spaced_open("linspace", 1000, 4), [999, 749, 500, 250])


def test_the_shift_of_a_resolution_goes_through_the_points_of_flux() -> None:
    assert flow.resolution_shift(256) == pytest.approx(math.exp(0.5))
    assert flow.resolution_shift(4096) == pytest.approx(math.exp(1.15))
    assert flow.resolution_mu(8192, (256, 0.5), (8192, 0.9)) == pytest.approx(0.9)
    assert flow.shifted(0.5, 3.0) == 0.75


def test_edm_and_trigflow_nodes() -> None:
    node = edm.edm_node(2.0, 0.5)
    assert (node.timestep, node.input_scale) == (0.25 * math.log(2), 1 / math.sqrt(4.25))
    first, second = trigflow.trigflow_nodes((1.2, 0.0))
    assert (first.alpha, first.sigma) == (math.cos(1.2), 0.5 * math.sin(1.2))
    assert second.sigma == 0


def test_sana_sprint_folds_the_flow_network_into_three_scalars() -> None:
    """The pipeline's wrapper: c_in, the flow network, and back to TrigFlow (Chen et al. 2025, eq. 4 to 6)."""
    random, sigma_data = np.random.default_rng(0), 0.5
    for t in (1.5708, 1.3, 0.7):
        (node,) = trigflow.sana_sprint_nodes((t,), sigma_data)
        x, m = random.normal(size=(2, 8))
        s = math.sin(t) / (math.cos(t) + math.sin(t))
        q = math.sqrt(s**2 + (1 - s) ** 2)
        seen = x / sigma_data * q
        v = ((1 - 2 * s) * seen + (1 - 2 * s + 2 * s**2) * m) / q * sigma_data
        a, b, _, _ = prediction.sana_sprint(node)
        np.testing.assert_allclose(seen, node.input_scale * x, rtol=1e-14)
        np.testing.assert_allclose(a * x + b * m, math.cos(t) * x - math.sin(t) * v, atol=1e-14)


@pytest.mark.parametrize(
    ("convert", "output"),
    [
        (prediction.epsilon, lambda n, x0, e: e),
        (prediction.sample, lambda n, x0, e: x0),
        (prediction.velocity, lambda n, x0, e: n.input_scale * (n.alpha * e - n.sigma * x0)),
        (prediction.flow, lambda n, x0, e: e - x0),
        (prediction.edm(0.5), lambda n, x0, e: _edm_output(n, x0, e)),
        (prediction.consistency(0.5, 0.002), None),
    ],
)
@pytest.mark.parametrize("node", [Node(0.8, 0.6), Node(1.0, 3.0, 0.0, 1 / math.sqrt(10)), Node(0.3, 0.7)])
def test_predictions_give_back_data_and_noise(
    convert: prediction.Prediction, output: Callable[[Node, float, float], float] | None, node: Node
) -> None:
    x0, e = 0.37, -1.2
    a, b, c, d = convert(node)
    x = node.alpha * x0 + node.sigma * e
    m = (x0 - a * x) / b if output is None else output(node, x0, e)
    assert a * x + b * m == pytest.approx(x0)
    assert c * x + d * m == pytest.approx(e)


def _edm_output(node: Node, x0: float, e: float) -> float:
    a, b, _, _ = prediction.edm(0.5)(node)
    return (x0 - a * (node.alpha * x0 + node.sigma * e)) / b


@given(st.floats(1e-6, 8), st.sampled_from([1.0, 2.0, -1.0, 1.64]), st.integers(0, 4))
def test_moments_are_their_integrals(h: float, rate: float, p: int) -> None:
    points, weights = np.polynomial.legendre.leggauss(40)
    u = h * (points + 1) / 2
    expected = float(np.sum(h / 2 * weights * rate * np.exp(-rate * (h - u)) * u**p))
    assert moments(h, rate, p + 1)[p] == pytest.approx(expected, rel=2e-12, abs=1e-300)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5, unique_by=lambda u: round(u, 1)), st.floats(0.1, 3))
def test_lagrange_weights_integrate_every_polynomial_through_the_nodes(nodes: list[float], h: float) -> None:
    integrals = [h ** (p + 1) / (p + 1) for p in range(len(nodes))]
    weights = lagrange_weights(nodes, integrals)
    for p, integral in enumerate(integrals):
        found = sum(w * u**p for w, u in zip(weights, nodes, strict=True))
        size = sum(abs(w * u**p) for w, u in zip(weights, nodes, strict=True))
        assert found == pytest.approx(integral, abs=1e-9 * (1 + size))


def test_inner_stages_need_the_nodes_of_a_schedule() -> None:
    solver = runge_kutta.runge_kutta(runge_kutta.CLASSICAL_4)
    with pytest.raises(FewstepError, match="expected `at` for a tableau with inner stages"):
        compile_solver(solver, [Node(1.0, 2.0), Node(1.0, 1.0)], prediction.epsilon, ("rk4", "epsilon"))
    with pytest.raises(FewstepError, match="expected at least 2 noise levels, found 1"):
        compile_solver(solver, [Node(1.0, 2.0)], prediction.epsilon, ("rk4", "epsilon"))
