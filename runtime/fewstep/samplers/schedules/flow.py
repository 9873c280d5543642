"""Flow matching: x = (1 - sigma) x0 + sigma eps, with a timestep shift (Esser et al. 2024, section 5.3.2)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.errors import FewstepError
from fewstep.samplers.node import Node

TIMESTEPS = 1000.0
"""A network with timesteps is told 1000 sigma."""


def shifted(sigma: float, shift: float) -> float:
    """S u / (1 + (s - 1) u): more steps where the picture is still noise, for s > 1 (eq. 23)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def flow_sigmas(steps: int, shift: float = 1.0) -> tuple[float, ...]:
    """The steps + 1 noise levels of SD3 and Sana, from 1 down to 0: sigma = s u / (1 + (s - 1) u).

    u runs evenly from 1 to 1/steps, then 0 (Esser et al., "Scaling rectified flow transformers", 2024, eq. 23).

    Raises:
        FewstepError: steps < 1 or shift <= 0.
    """
    if steps < 1:
        raise FewstepError(f"expected at least 1 step, found {steps}; choose a larger number of steps")
    if not (shift > 0 and math.isfinite(shift)):
        raise FewstepError(f"expected a timestep shift above 0, found {shift}; a usual shift is 1 to 6")
    return tuple(shifted((steps - i) / steps, shift) for i in range(steps + 1))


def resolution_mu(
    tokens: int, few: tuple[int, float] = (256, 0.5), many: tuple[int, float] = (4096, 1.15)
) -> float:
    """The mu of Flux, linear in the number of image tokens through the two (tokens, mu) given; its shift is e^mu."""
    slope = (many[1] - few[1]) / (many[0] - few[0])
    return few[1] + slope * (tokens - few[0])


def resolution_shift(
    tokens: int, few: tuple[int, float] = (256, 0.5), many: tuple[int, float] = (4096, 1.15)
) -> float:
    """The shift of a resolution, e^mu with `resolution_mu`."""
    return math.exp(resolution_mu(tokens, few, many))


def flow_nodes(sigmas: Sequence[float], timesteps: Sequence[float] | None = None) -> list[Node]:
    """Nodes of levels that fall from at most 1 to at least 0; timesteps are 1000 sigma unless given.

    Raises:
        FewstepError: fewer than two levels, or levels that do not fall.
    """
    if len(sigmas) < 2:
        raise FewstepError(
            f"expected at least 2 noise levels, found {len(sigmas)}; give first and last level"
        )
    for i, (sigma, after) in enumerate(pairwise(sigmas)):
        if not 1 >= sigma > after >= 0:
            raise FewstepError(
                f"expected noise levels that fall within 1 and 0, found {sigma} then {after} at step {i}; sort them"
            )
    told = [TIMESTEPS * float(sigma) for sigma in sigmas] if timesteps is None else [*timesteps, 0.0]
    return [Node(1 - float(sigma), float(sigma), t) for sigma, t in zip(sigmas, told, strict=True)]


def flow_node(sigma: float) -> Node:
    """The node of one level."""
    return Node(1 - sigma, sigma, TIMESTEPS * sigma)
