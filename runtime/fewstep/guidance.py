"""Classifier-free guidance around the denoiser (Ho and Salimans, 2022): m = m_0 + w (m_c - m_0).

Batched and sequential guidance give the same numbers up to rounding; the first needs one call of twice the batch, the
second two calls with half the memory. At w = 1 the unconditional branch has no weight and is not computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

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
    denoiser: Denoiser, text: TextStates, negative: TextStates | None, scale: float, mode: GuidanceMode
) -> Model:
    """The model that the loop calls; `negative` has one text for each of `text`, or is None for no guidance."""
    if negative is None or scale == 1.0:
        return _conditional(denoiser, text)
    return (
        _batched(denoiser, text, negative, scale)
        if mode == "batched"
        else _sequential(denoiser, text, negative, scale)
    )


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
