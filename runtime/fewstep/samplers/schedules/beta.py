"""Discrete variance-preserving schedules: x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps, abar_t = prod_{s<=t} (1 - beta_s)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.spacing import Floats

_MAX_BETA = 0.999  # of the cosine schedule (Nichol and Dhariwal 2021, section 3.2)


def linear_betas(start: float, end: float, count: int) -> Floats:
    """Betas evenly spaced (Ho et al. 2020)."""
    return np.linspace(start, end, count)


def scaled_linear_betas(start: float, end: float, count: int) -> Floats:
    """Betas whose square roots are evenly spaced: latent diffusion and Stable Diffusion (Rombach et al. 2022)."""
    return np.linspace(math.sqrt(start), math.sqrt(end), count) ** 2


def sigmoid_betas(start: float, end: float, count: int) -> Floats:
    """Betas along a sigmoid from -6 to 6 (GeoDiff, Xu et al. 2022)."""
    return 1 / (1 + np.exp(-np.linspace(-6, 6, count))) * (end - start) + start


def cosine_betas(count: int) -> Floats:
    """abar(t) = cos^2((t + 0.008) / 1.008 pi/2) (Nichol and Dhariwal 2021, eq. 17)."""
    return betas_of(lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2, count)


def betas_of(alpha_bar: Callable[[float], float], count: int) -> Floats:
    """beta_t = 1 - abar((t + 1) / T) / abar(t / T), at most 0.999."""
    return np.array(
        [min(1 - alpha_bar((t + 1) / count) / alpha_bar(t / count), _MAX_BETA) for t in range(count)]
    )


def rescale_zero_terminal_snr(alphas_cumprod: Floats) -> Floats:
    """The schedule with sqrt(abar) shifted and scaled so that the last abar is 0 (Lin et al. 2023, algorithm 1)."""
    root = np.sqrt(alphas_cumprod)
    rescaled: Floats = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return rescaled


def shift_snr(alphas_cumprod: Floats, scale: float) -> Floats:
    """The schedule with signal-to-noise ratio abar / (1 - abar) divided by `scale` (CogView3, Zheng et al. 2024)."""
    shifted: Floats = alphas_cumprod / (scale + (1 - scale) * alphas_cumprod)
    return shifted


@dataclass(frozen=True, eq=False)
class DiscreteLevels:
    """A schedule by its table abar (T,), with nodes in the variance-preserving frame, or in the exploding one.

    In the exploding frame of Karras et al. (2022), x = x0 + rho eps with rho = sqrt((1 - abar) / abar), and the network
    sees x / sqrt(1 + rho^2).
    """

    alphas_cumprod: Floats
    exploding: bool = False

    def __post_init__(self) -> None:
        # The last one may lie above its neighbour: diffusers puts 2^-24 there in place of 0.
        if not (np.diff(self.alphas_cumprod[:-1]) < 0).all():
            raise FewstepError("expected alphas_cumprod that fall, found others; check the betas")

    @classmethod
    def of(cls, betas: Floats, exploding: bool = False) -> "DiscreteLevels":
        """The schedule of betas (T,)."""
        return cls(np.cumprod(1 - betas, dtype=np.float64), exploding)

    @property
    def rhos(self) -> Floats:
        """sqrt((1 - abar) / abar) of every timestep, rising."""
        with np.errstate(divide="ignore"):
            rhos: Floats = np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)
        return rhos

    def at_timesteps(self, timesteps: Iterable[float]) -> list[Node]:
        """The nodes at falling timesteps, and after them the clean picture."""
        return [*(self.at_timestep(float(t)) for t in timesteps), self.at_rho(0.0, 0.0)]

    def at_rhos(self, rhos: Iterable[float]) -> list[Node]:
        """The nodes at falling noise-to-signal ratios, and after them the clean picture."""
        return [*(self.at_rho(float(rho)) for rho in rhos), self.at_rho(0.0, 0.0)]

    def at_timestep(self, timestep: float) -> Node:
        """The node at a timestep; between two of them rho is interpolated linearly, as diffusers does."""
        rho = float(np.interp(timestep, np.arange(len(self.alphas_cumprod)), self.rhos))
        if math.isinf(rho) and not self.exploding:
            return self.at_alpha_bar(math.ceil(timestep))
        return self.at_rho(rho, timestep)

    def at_rho(self, rho: float, timestep: float | None = None) -> Node:
        """The node at a noise-to-signal ratio; the timestep, if not given, is found by its logarithm."""
        t = self.timestep_of(rho) if timestep is None else timestep
        scale = 1 / math.sqrt(rho**2 + 1)
        if self.exploding:
            return Node(1.0, rho, t, scale)
        return Node(scale, rho * scale, t)

    def at_alpha_bar(self, timestep: int) -> Node:
        """The variance-preserving node straight from the table (finite also where abar is 0)."""
        abar = float(self.alphas_cumprod[timestep])
        return Node(math.sqrt(abar), math.sqrt(1 - abar), float(timestep))

    def timestep_of(self, rho: float) -> float:
        """The (fractional) timestep of a noise-to-signal ratio, linear in log rho, cut at both ends."""
        logs, log = np.log(self.rhos), math.log(max(rho, 1e-10))
        below = np.flatnonzero(logs <= log)
        low = min(int(below[-1]) if len(below) else 0, len(logs) - 2)
        part = (log - logs[low]) / (logs[low + 1] - logs[low])
        return float(low + min(max(part, 0.0), 1.0))


def continuous_vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Callable[[float], float]:
    """Log alpha(t) = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2 on t in [0, 1] (Song et al. 2021, eq. 33)."""
    return lambda t: -0.25 * t**2 * (beta_max - beta_min) - 0.5 * t * beta_min
