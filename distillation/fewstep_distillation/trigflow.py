"""TrigFlow, ``x = cos(t) x0 + sin(t) n`` with velocity ``F = cos(t) n - sin(t) x0`` (Lu and Song 2024, arXiv:2410.11081), told by a flow.

Its levels and those of a rectified flow are the same pictures at another scale: ``sigma = sin t / (cos t + sin t)`` and
``x_flow = x / (cos t + sin t)`` (Chen et al. 2025, SANA-Sprint, arXiv:2503.09641). So a flow network is a TrigFlow network without any
training, and stays a flow network when it is trained as one. Latents have unit variance: sigma_data = 1.
"""

import torch
from torch import Tensor, nn

from fewstep_distillation.flow import maps


def angle(sigma: Tensor) -> Tensor:
    """The time t (B,) in [0, pi / 2] of a flow's level."""
    return torch.atan2(sigma, 1 - sigma)


def level(t: Tensor) -> Tensor:
    """The flow's level (B,) at the time t."""
    return t.sin() / (t.cos() + t.sin())


def trig_noised(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """``cos(t) x0 + sin(t) n``."""
    return maps(t.cos()) * x0 + maps(t.sin()) * noise


def to_flow(x: Tensor, t: Tensor) -> Tensor:
    """The latents as the flow has them at the level of t."""
    return x / maps(t.cos() + t.sin())


def trig_velocity(x: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """F (B, C, h, w) from a flow's velocity at (x_flow, sigma): ``(cos t - sin t) x_flow + u / (cos t + sin t)``."""
    return maps(t.cos() - t.sin()) * to_flow(x, t) + to_flow(velocity, t)


def told_by_flow(network: nn.Module, x: Tensor, t: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """F (B, C, h, w) of a flow network, float32."""
    velocity = network(to_flow(x, t), 1000 * level(t), states, mask).float()
    return trig_velocity(x, velocity, t)
