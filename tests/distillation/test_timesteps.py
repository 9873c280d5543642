"""Timestep densities: in (0, 1), with the medians and densities of the paper."""

import math

import pytest
import torch

from fewstep_distillation.timesteps import TimestepConfig, sample_sigma


def _draw(config: TimestepConfig, count: int = 200_000) -> torch.Tensor:
    return sample_sigma(config, count, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("density", ["logit-normal", "mode", "cosmap", "uniform"])
def test_levels_lie_between_zero_and_one_and_repeat(density: str) -> None:
    config = TimestepConfig(density=density)  # type: ignore[arg-type]
    sigma = _draw(config)
    assert sigma.min() >= 0
    assert sigma.max() <= 1
    assert torch.equal(sigma, _draw(config))


def test_logit_normal_has_the_stated_mean_and_deviation_of_its_logit() -> None:
    logit = _draw(TimestepConfig(mean=0.5, std=0.8)).logit()
    assert abs(logit.mean() - 0.5) < 5 * 0.8 / 200_000**0.5
    assert abs(logit.std() - 0.8) < 0.01


def test_mode_prefers_the_middle_for_positive_scale() -> None:
    middle = ((_draw(TimestepConfig(density="mode")) - 0.5).abs() < 0.1).float().mean()
    assert middle > 0.25


def test_cosmap_has_its_density() -> None:
    """p(sigma) = 2 / (pi (1 - 2 sigma + 2 sigma^2)), whose integral is 1/2 - (2 / pi) atan(1 - 2 sigma)."""
    sigma = _draw(TimestepConfig(density="cosmap"))
    for level in (0.2, 0.5, 0.7):
        expected = 0.5 - 2 / math.pi * math.atan(1 - 2 * level)
        assert abs((sigma < level).float().mean() - expected) < 5e-3


def test_shift_moves_the_median() -> None:
    assert abs(_draw(TimestepConfig(shift=3.0)).median() - 0.75) < 0.01


@pytest.mark.parametrize(
    ("field", "value"), [("density", "cosine"), ("std", 0.0), ("shift", -1.0), ("mode_scale", 5.0)]
)
def test_what_is_no_density_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        TimestepConfig(**{field: value})  # type: ignore[arg-type]
