"""Exponential moving average of parameters (Polyak averaging with the warm-up of Song et al. 2020)."""

import copy

import torch
from torch import nn


class ExponentialMovingAverage:
    """``theta_ema <- d theta_ema + (1 - d) theta`` with ``d = min(decay, (1 + step) / (10 + step))``, in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the parameters of ``module`` after optimiser step ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)
