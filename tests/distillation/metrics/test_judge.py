import numpy as np
import pytest

from fewstep_distillation.metrics.evaluate import Judges
from fewstep_distillation.metrics.judge import judge

PROMPTS = [f"prompt {k}" for k in range(40)]


class _Head:
    """Scores a picture by the first number of its features, whatever the text."""

    def similarity(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        return np.repeat(images[:, :1], len(texts), axis=1)


def _means(pictures: np.ndarray) -> np.ndarray:
    """Mean of every channel, in units of 1 (N, 4)."""
    return np.asarray(pictures.mean(axis=(1, 2)) / 255, dtype=np.float32)


JUDGES = Judges(_means, lambda texts: np.zeros((len(texts), 2)), _Head())  # type: ignore[arg-type]  # stand-ins of known values


def pictures(seed: int, brightness: float = 0.5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    level = brightness + 0.1 * generator.standard_normal((40, 3, 1, 1))
    return np.broadcast_to(level.clip(0, 1), (40, 3, 4, 4)).astype(np.float32)


def test_the_same_pictures_change_nothing() -> None:
    found = judge(PROMPTS, pictures(0), pictures(1), pictures(0), JUDGES)
    assert found.keys() == {"frechet", "text_image"}
    for judgement in found.values():
        assert judgement.change == 0 and judgement.interval == (0, 0)
        assert judgement.reference == judgement.build


def test_darker_pictures_are_further_away_and_the_interval_says_how_sure_that_is() -> None:
    found = judge(PROMPTS, pictures(0), pictures(1), pictures(0, 0.3), JUDGES)
    assert found["frechet"].change > 1 and found["frechet"].interval[0] > 0.5
    text = found["text_image"]
    assert text.build == pytest.approx(text.reference - 0.2, abs=0.02)
    low, high = text.interval
    assert low < text.change < high < 0
