import numpy as np

from fewstep_quantization.affine import quantise_weights
from fewstep_quantization.rounding import round_weights


def error(x: np.ndarray, weights: np.ndarray, rounded: np.ndarray, scales: np.ndarray) -> float:
    return float(np.linalg.norm(x @ weights - x @ (rounded * scales)))


def test_correlated_inputs_get_less_error_than_by_nearest_rounding() -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((48, 20)).astype(np.float32)
    x = (generator.standard_normal((400, 6)) @ generator.standard_normal((6, 48))).astype(np.float32)
    x += 0.1 * generator.standard_normal(x.shape).astype(np.float32)
    nearest, scales = quantise_weights(weights)
    minded = round_weights(weights, scales, (x.T @ x).astype(np.float64))
    fresh = (generator.standard_normal((400, 6)) @ np.linalg.lstsq(np.eye(6), np.eye(6), rcond=None)[0]) @ (
        np.linalg.svd(x, full_matrices=False)[2][:6] * 10
    )
    assert error(x, weights, minded, scales) < 0.5 * error(x, weights, nearest, scales)
    assert error(fresh, weights, minded, scales) < 0.5 * error(fresh, weights, nearest, scales)
    assert np.abs(minded).max() <= 127


def test_independent_inputs_are_rounded_to_the_nearest() -> None:
    weights = np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)
    nearest, scales = quantise_weights(weights)
    assert (round_weights(weights, scales, np.eye(16)) == nearest).all()


def test_every_block_has_a_step_of_its_own() -> None:
    weights = np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)
    steps = np.repeat(np.array([[0.5], [0.25]], np.float32), 8, axis=0) * np.ones(5, np.float32)
    rounded = round_weights(weights, steps, np.eye(16), (-2, 1))
    assert (rounded == np.clip(np.rint(weights / steps), -2, 1)).all()
