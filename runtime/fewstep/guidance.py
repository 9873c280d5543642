"""Classifier-free guidance around the denoiser (Ho and Salimans, 2022): m = m_0 + w (m_c - m_0).

Batched and sequential guidance give the same numbers up to rounding; the first needs one call of twice the batch, the
second two calls with half the memory. At w = 1 the unconditional branch has no weight and is not computed. With an interval
guidance is on at some timesteps alone (Kynkaanniemi et al. 2024): often as good, and half the work elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fewstep.errors import FewstepError
from fewstep.loop import Array, Model

GuidanceMode = Literal["batched", "sequential"]
Denoiser = Callable[[Array, Array, Array, Array], Array]
"""(latents (B, C, h, w), timestep (B,), text_states (B, L, D), text_mask (B, L)) -> velocity, all float32."""


@dataclass(frozen=True)
class TextStates:
    """Encoded texts: states (B, L, D) and mask (B, L), float32."""

    states: Array
    mask: Array

    def __len__(self) -> int:
        return len(self.states)


def guide(
    denoiser: Denoiser,
    text: TextStates,
    negative: TextStates | None,
    scale: float,
    mode: GuidanceMode,
    interval: tuple[float, float] | None = None,
) -> Model:
    """The model that the loop calls.

    Args:
        denoiser: the network.
        text: what to draw.
        negative: one text for each of `text`, or None for no guidance.
        scale: w.
        mode: one call of twice the batch, or two calls.
        interval: the lowest and the highest timestep with guidance, both included; None guides everywhere.

    Raises:
        FewstepError: the interval is empty.
    """
    if negative is None or scale == 1.0:
        return _conditional(denoiser, text)
    both = _batched if mode == "batched" else _sequential
    guided = both(denoiser, text, negative, scale)
    if interval is None:
        return guided
    if not interval[0] <= interval[1]:
        raise FewstepError(
            f"expected a guidance interval from a lower to a higher timestep, found {interval[0]} to {interval[1]}; "
            "swap them"
        )
    return _switched(guided, _conditional(denoiser, text), interval)


def _switched(inside: Model, outside: Model, interval: tuple[float, float]) -> Model:
    def model(x: Array, timestep: float) -> Array:
        return (inside if interval[0] <= timestep <= interval[1] else outside)(x, timestep)

    return model


def _conditional(denoiser: Denoiser, text: TextStates) -> Model:
    timesteps = np.empty(len(text), dtype=np.float32)

    def model(x: Array, timestep: float) -> Array:
        timesteps.fill(timestep)
        return denoiser(x, timesteps, text.states, text.mask)

    return model


def _sequential(denoiser: Denoiser, text: TextStates, negative: TextStates, scale: float) -> Model:
    conditional, unconditional = _conditional(denoiser, text), _conditional(denoiser, negative)

    def model(x: Array, timestep: float) -> Array:
        m_0, m_c = unconditional(x, timestep), conditional(x, timestep)
        return _mix(m_0, m_c, scale)

    return model


def _batched(denoiser: Denoiser, text: TextStates, negative: TextStates, scale: float) -> Model:
    both = TextStates(
        np.concatenate([negative.states, text.states]), np.concatenate([negative.mask, text.mask])
    )
    doubled = _conditional(denoiser, both)

    def model(x: Array, timestep: float) -> Array:
        m_0, m_c = np.split(doubled(np.concatenate([x, x]), timestep), 2)
        return _mix(m_0, m_c, scale)

    return model


def _mix(m_0: Array, m_c: Array, scale: float) -> Array:
    guided: Array = m_0 + np.float32(scale) * (m_c - m_0)
    return guided
