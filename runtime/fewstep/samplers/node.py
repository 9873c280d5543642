"""A point of a noise schedule, as samplers see it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """The level x = alpha x0 + sigma eps of the latents, and how the network is called there.

    Args:
        alpha: scale of the data; 1 in the variance-exploding frame of EDM.
        sigma: standard deviation of the noise.
        timestep: what the network is told.
        input_scale: the network sees input_scale x.
    """

    alpha: float
    sigma: float
    timestep: float = 0.0
    input_scale: float = 1.0

    @property
    def lam(self) -> float:
        """Half the log signal-to-noise ratio, lambda = log(alpha / sigma), with its limits."""
        if self.sigma == 0 or self.alpha == 0:
            return math.inf if self.sigma == 0 else -math.inf
        return math.log(self.alpha) - math.log(self.sigma)

    @property
    def rho(self) -> float:
        """The noise-to-signal ratio sigma / alpha = e^-lambda: the sigma of the variance-exploding frame."""
        return self.sigma / self.alpha
