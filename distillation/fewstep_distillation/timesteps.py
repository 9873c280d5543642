"""Densities of the noise level sigma in (0, 1) during training (Esser et al. 2024, Stable Diffusion 3, section 3.1)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimestepConfig:
    """How sigma is drawn; ``shift`` moves it to more noise, ``sigma <- s sigma / (1 + (s - 1) sigma)``."""

    density: Literal["logit-normal", "mode", "cosmap", "uniform"] = "logit-normal"
    mean: float = 0.0
    std: float = 1.0
    mode_scale: float = 1.29
    shift: float = 1.0

    def __post_init__(self) -> None:
        """Refuse parameters for which the map is not a density on (0, 1)."""
        if self.density not in ("logit-normal", "mode", "cosmap", "uniform"):
            raise ValueError(f"density must be logit-normal, mode, cosmap or uniform, found {self.density!r}")
        if self.std <= 0 or self.shift <= 0:
            raise ValueError(f"std and shift must be positive, found {self.std} and {self.shift}")
        if not -1 <= self.mode_scale <= 2 / (math.pi - 2):
            raise ValueError(f"mode_scale must lie in [-1, {2 / (math.pi - 2):.4f}], found {self.mode_scale}")


def sample_sigma(config: TimestepConfig, count: int, generator: torch.Generator) -> Tensor:
    """``count`` noise levels, float32, on the generator's device."""
    device = generator.device
    if config.density == "logit-normal":
        sigma = torch.sigmoid(
            torch.randn(count, generator=generator, device=device) * config.std + config.mean
        )
    else:
        u = torch.rand(count, generator=generator, device=device)
        sigma = {"uniform": _uniform, "mode": _mode, "cosmap": _cosmap}[config.density](u, config)
    return config.shift * sigma / (1 + (config.shift - 1) * sigma)


def _uniform(u: Tensor, config: TimestepConfig) -> Tensor:
    return u


def _mode(u: Tensor, config: TimestepConfig) -> Tensor:
    """``f(u) = 1 - u - s (cos^2(pi u / 2) - 1 + u)``, eq. 20."""
    return 1 - u - config.mode_scale * (torch.cos(math.pi / 2 * u).square() - 1 + u)


def _cosmap(u: Tensor, config: TimestepConfig) -> Tensor:
    """``f(u) = 1 - 1 / (tan(pi u / 2) + 1)``, eq. 21: the log-SNR distribution of the cosine schedule."""
    return 1 - 1 / (torch.tan(math.pi / 2 * u) + 1)
