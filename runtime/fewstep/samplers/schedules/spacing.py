"""Which of T training timesteps to visit: "linspace", "leading" or "trailing" (Lin et al. 2023, table 2)."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError

Spacing = Literal["linspace", "leading", "trailing"]
Floats = npt.NDArray[np.float64]


def spaced(spacing: Spacing, total: int, steps: int, offset: int = 0) -> Floats:
    """`steps` timesteps from the noisiest down, as the DDIM and Euler families of diffusers take them.

    linspace includes both ends (and is not rounded); leading starts from 0 and adds `offset`; trailing ends at
    total - 1. Rounding is to even, as numpy rounds. trailing may give one more where total / steps is not exact.
    """
    _check(steps, total)
    if spacing == "linspace":
        return np.linspace(0, total - 1, steps)[::-1].copy()
    if spacing == "leading":
        return (np.arange(steps) * (total // steps)).astype(float)[::-1] + offset
    if spacing == "trailing":
        return np.arange(total, 0, -total / steps).round() - 1
    raise _unknown(spacing)


def spaced_open(spacing: Spacing, total: int, steps: int, offset: int = 0, last: int | None = None) -> Floats:
    """`steps` timesteps of steps + 1 with the last left out, as the DPM-Solver family takes them: that ends at sigma 0.

    `last` (total if None) is the first timestep that is clipped away, see `lambda_min_clipped` of diffusers.
    """
    _check(steps, total)
    end = total if last is None else last
    if spacing == "linspace":
        return np.linspace(0, end - 1, steps + 1).round()[::-1][:-1].copy()
    if spacing == "leading":
        return (np.arange(steps + 1) * (end // (steps + 1))).astype(float)[::-1][:-1] + offset
    if spacing == "trailing":
        return np.arange(end, 0, -total / steps).round() - 1
    raise _unknown(spacing)


def _check(steps: int, total: int) -> None:
    if not 1 <= steps <= total:
        raise FewstepError(
            f"expected 1 to {total} steps, found {steps}; choose a number of steps in that range"
        )


def _unknown(spacing: str) -> FewstepError:
    return FewstepError(
        f"expected timestep spacing linspace, leading or trailing, found '{spacing}'; choose one"
    )
