"""What a pipeline gives to a scheduler besides its configuration."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Options:
    """What a pipeline gives to `set_timesteps` and `step`.

    Args:
        eta: of DDIM (0 by default), or gamma of TCD (0.3 by default).
        churn: `s_churn` of Euler.
        tokens: of the picture, from which dynamic shifting finds its mu, where the configuration asks for it.
        mu: of dynamic shifting; goes before `tokens`, for pipelines with a rule of their own (FLUX.2).
        sigmas: explicit levels before the shift, without the last 0, for flow matching; few-step students need them.
        times: explicit times of TrigFlow, the last one included.
        compat: "diffusers" for what it computes, None for the exact methods.
    """

    eta: float | None = None
    churn: float = 0.0
    tokens: int | None = None
    mu: float | None = None
    sigmas: tuple[float, ...] | None = None
    times: tuple[float, ...] | None = None
    compat: Literal["diffusers"] | None = "diffusers"
