import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.efficientnet import FEATURES
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.frechet import Gaussian, frechet_distance

RNG = np.random.default_rng(0)


def test_closed_form_of_gaussians_with_a_common_basis() -> None:
    """With C_i = Q diag(s_i^2) Q^T the distance is |m_1 - m_2|^2 + |s_1 - s_2|^2."""
    basis, _ = np.linalg.qr(RNG.normal(size=(20, 20)))
    (m_1, m_2), (s_1, s_2) = RNG.normal(size=(2, 20)), RNG.uniform(0, 3, size=(2, 20))
    first, second = (Gaussian(m, (basis * s).T) for m, s in ((m_1, s_1), (m_2, s_2)))
    expected = np.square(m_1 - m_2).sum() + np.square(s_1 - s_2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_closed_form_in_two_dimensions() -> None:
    """For 2 x 2 matrices tr(M^(1/2)) = sqrt(tr M + 2 sqrt(det M)), with M = C_1 C_2."""
    a_1, a_2 = RNG.normal(size=(2, 2, 2))
    c_1, c_2 = a_1.T @ a_1, a_2.T @ a_2
    m = c_1 @ c_2
    expected = np.trace(c_1 + c_2) - 2 * np.sqrt(np.trace(m) + 2 * np.sqrt(np.linalg.det(m)))
    zero = np.zeros(2)
    assert frechet_distance(Gaussian(zero, a_1), Gaussian(zero, a_2)) == pytest.approx(expected, rel=1e-9)


def test_is_symmetric_and_zero_on_the_same_set_even_if_singular() -> None:
    few, others = RNG.normal(size=(12, 50)).astype(np.float32), RNG.normal(size=(40, 50)).astype(np.float32)
    first, second = Gaussian.of(few), Gaussian.of(others)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-10)


@pytest.mark.parametrize("count", [4, 30])  # fewer and more than dimensions
def test_factor_is_that_of_the_covariance(count: int) -> None:
    features = RNG.normal(size=(count, 5)).astype(np.float32)
    gaussian = Gaussian.of(features)
    assert gaussian.factor.shape == (min(count, 5), 5)
    expected = np.cov(features.astype(np.float64).T)
    np.testing.assert_allclose(gaussian.factor.T @ gaussian.factor, expected, atol=1e-12)


def test_one_picture_has_no_covariance() -> None:
    with pytest.raises(FewstepError, match="at least 2 pictures"):
        Gaussian.of(np.zeros((1, 4), np.float32))


def test_grows_with_noise(dataset: EmojiDataset, image_features: ImageFeatures) -> None:
    pictures = dataset.images(range(len(dataset)))
    clean = Gaussian.of(image_features(pictures))
    distances = [0.0]
    for sigma in (10, 40, 160):
        noisy = pictures + RNG.normal(0, sigma, pictures.shape)
        features = image_features(noisy.clip(0, 255).astype(np.uint8))
        assert features.shape == (len(dataset), FEATURES)
        distances.append(frechet_distance(clean, Gaussian.of(features)))
    assert distances == sorted(distances)
