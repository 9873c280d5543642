"""Classifier-free guidance around the denoiser (Ho and Salimans, 2022): m = m_0 + w (m_c - m_0).

Batched and sequential guidance give the same numbers up to rounding; the first needs one call of twice the batch, the
second two calls with half the memory. At w = 1 the unconditional branch has no weight and is not computed. With an interval
guidance is on at some timesteps alone (Kynkaanniemi et al. 2024): often as good, and half the work elsewhere.

The arrays of a model are made at its first call. What it returns is one of them, and is written again at the next call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep.loop import Array, Model

GuidanceMode = Literal["batched", "sequential"]
Conditions = Mapping[str, npt.NDArray[Any]]
"""What the denoiser is told besides latents and timestep: arrays (B, ...) by the names of its inputs, like `text_states`."""
Denoiser = Callable[[Array, Array, Conditions], Array]
"""(latents (B, C, h, w), timestep (B,), conditions) -> network output (B, C, h, w), all float32."""


@dataclass(frozen=True)
class GuidanceConfig:
    """How two branches become one.

    Args:
        scale: w; 1 means without guidance.
        mode: one call of twice the batch, or two calls.
        interval: the lowest and the highest timestep with guidance, both included; None guides everywhere.
        keep_norm: gives every line (last axis) of m the Euclidean norm of that line in m_c, as Lumina does.
    """

    scale: float
    mode: GuidanceMode = "batched"
    interval: tuple[float, float] | None = None
    keep_norm: bool = False

    def __post_init__(self) -> None:
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            raise FewstepError(
                f"expected a guidance interval from a lower to a higher timestep, found {self.interval[0]} to "
                f"{self.interval[1]}; swap them"
            )


def guide(
    denoiser: Denoiser, conditions: Conditions, negative: Conditions | None, config: GuidanceConfig
) -> Model:
    """The model that the loop calls.

    Args:
        denoiser: the network.
        conditions: what to draw.
        negative: the same of the unconditional branch, or None for no guidance.
        config: scale and the like.
    """
    conditional, mix = _told(denoiser, conditions), _mixer(config.scale)
    if negative is None or config.scale == 1.0:
        return conditional
    if config.mode == "batched":
        branches = _batched(denoiser, negative, conditions)
    else:
        branches = _sequential(denoiser, negative, conditions)

    def model(x: Array, timestep: float) -> Array:
        if config.interval is not None and not config.interval[0] <= timestep <= config.interval[1]:
            return conditional(x, timestep)
        m_0, m_c = branches(x, timestep)
        m = mix(m_0, m_c)
        return m * (_norm(m_c) / _norm(m)) if config.keep_norm else m

    return model


def _told(denoiser: Denoiser, conditions: Conditions) -> Model:
    def model(x: Array, timestep: float) -> Array:
        return denoiser(x, np.full(len(x), timestep, dtype=np.float32), conditions)

    return model


Branches = Callable[[Array, float], tuple[Array, Array]]
"""(latents, timestep) -> the outputs m_0 without and m_c with the conditions."""


def _sequential(denoiser: Denoiser, negative: Conditions, conditions: Conditions) -> Branches:
    unconditional, conditional = _told(denoiser, negative), _told(denoiser, conditions)
    return lambda x, timestep: (unconditional(x, timestep), conditional(x, timestep))


def _batched(denoiser: Denoiser, negative: Conditions, conditions: Conditions) -> Branches:
    both = {name: np.concatenate([negative[name], array]) for name, array in conditions.items()}
    conditional, doubled = _told(denoiser, both), np.empty(0, dtype=np.float32)

    def branches(x: Array, timestep: float) -> tuple[Array, Array]:
        nonlocal doubled
        if doubled.size != 2 * x.size:
            doubled = np.empty((2 * len(x), *x.shape[1:]), dtype=np.float32)
        np.concatenate([x, x], out=doubled)
        m_0, m_c = np.split(conditional(doubled, timestep), 2)
        return m_0, m_c

    return branches


def _mixer(scale: float) -> Callable[[Array, Array], Array]:
    """(m_0, m_c) -> m_0 + w (m_c - m_0), in an array of its own."""
    weight, guided = np.float32(scale), np.empty(0, dtype=np.float32)

    def mix(m_0: Array, m_c: Array) -> Array:
        nonlocal guided
        if guided.shape != m_0.shape:
            guided = np.empty_like(m_0)
        np.subtract(m_c, m_0, out=guided)
        np.multiply(guided, weight, out=guided)
        return np.add(m_0, guided, out=guided)

    return mix


def _norm(m: Array) -> Array:
    """The Euclidean norm of every line, (..., 1)."""
    norm: Array = np.linalg.norm(m, axis=-1, keepdims=True)
    return norm
