"""Weights on coarser steps: their error is what was asked for, and they compress."""

import zlib

import numpy as np
import pytest

from fewstep_quantization.affine import quantise_weights
from fewstep_quantization.schemes.weight_only import quantise_blocks


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_the_error_is_the_noise_that_was_asked_for(weights: np.ndarray, noise: float) -> None:
    quantised, scales = quantise_weights(weights, noise=noise)
    error = np.linalg.norm(quantised * scales - weights) / np.linalg.norm(weights)
    assert error == pytest.approx(noise, rel=0.02)


def test_no_noise_uses_all_levels(weights: np.ndarray) -> None:
    quantised, scales = quantise_weights(weights)
    assert (np.abs(quantised).max(axis=0) == 127).all()
    assert (quantise_weights(weights, noise=1e-4)[1] == scales).all()


def test_coarser_steps_compress_better(weights: np.ndarray) -> None:
    sizes = [
        len(zlib.compress(quantise_weights(weights, noise=noise)[0].tobytes(), 9)) for noise in (0, 0.03, 0.1)
    ]
    assert sizes[1] < 0.8 * sizes[0] and sizes[2] < 0.6 * sizes[0]


def test_blocks_have_the_same_steps(weights: np.ndarray) -> None:
    packed, scales = quantise_blocks(weights, 8, 0.05)
    found = ((packed.astype(np.float32) - 128) * scales[..., None]).reshape(64, 256).T
    assert np.linalg.norm(found - weights) / np.linalg.norm(weights) == pytest.approx(0.05, rel=0.02)
    assert len(np.unique(scales)) == 1
