import numpy as np
import pytest

from fewstep_distillation.metrics.copy_rate import DUPLICATE_RMS, CopyDetector, nearest_rms

RNG = np.random.default_rng(0)


def normal(n: int, d: int) -> np.ndarray:
    return RNG.normal(size=(n, d)).astype(np.float32)


@pytest.fixture(scope="module")
def detector() -> CopyDetector:
    return CopyDetector.of(normal(300, 32), RNG.uniform(size=(300, 64)).astype(np.float32), normal(400, 32))


def test_planted_copies_are_found(detector: CopyDetector) -> None:
    new_features, new_codes = normal(60, 32), RNG.uniform(size=(60, 64)).astype(np.float32)
    copied = detector.features[:40] + 0.01 * normal(40, 32), detector.codes[:40] + DUPLICATE_RMS / 4
    rate = detector.rate(np.concatenate([new_features, copied[0]]), np.concatenate([new_codes, copied[1]]))
    assert 0.4 <= rate.copies <= 0.4 + 0.6 * 0.15
    assert rate.near_duplicates == 0.4
    assert rate.pictures == 100


def test_new_pictures_stand_above_the_threshold_one_time_in_twenty(detector: CopyDetector) -> None:
    rate = detector.rate(normal(2000, 32), RNG.uniform(size=(2000, 64)).astype(np.float32))
    assert rate.copies == pytest.approx(0.05, abs=0.03)
    assert rate.near_duplicates == 0


def test_a_copy_of_everything_is_as_near_as_can_be(detector: CopyDetector) -> None:
    rate = detector.rate(detector.features, detector.codes)
    assert (rate.copies, rate.near_duplicates) == (1, 1)
    assert rate.median_nearness == pytest.approx(1, abs=1e-5)


def test_rms_is_that_of_the_nearest() -> None:
    codes, training = RNG.uniform(size=(2, 5, 7)).astype(np.float32)
    expected = np.sqrt(np.square(codes[:, None] - training[None]).mean(-1)).min(1)
    np.testing.assert_allclose(nearest_rms(codes, training), expected, rtol=1e-5)
