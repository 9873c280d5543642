"""Samplers for flow models, compiled in float64 to step tables.

Notation: x = alpha x0 + sigma eps with alpha = 1 - sigma; the network predicts the velocity m = eps - x0 and is told
timestep = 1000 sigma. Primes mark the next noise level. lambda = log(alpha / sigma) and h = lambda' - lambda.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from fewstep.errors import FewstepError
from fewstep.step_table import StepRow, StepTable

TIMESTEPS = 1000.0


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
    u = [(steps - i) / steps for i in range(steps + 1)]
    return tuple(shift * v / (1 + (shift - 1) * v) for v in u)


def flow_euler(sigmas: Sequence[float]) -> StepTable:
    """Euler's method on the flow, x' = x + (sigma' - sigma) m; order 1. `sigmas` ends with the last level."""
    pairs = _pairs(sigmas)
    rows = [_row(sigma, convert=(0.0, 1.0), latent=1.0, output=(after - sigma,)) for sigma, after in pairs]
    return StepTable("flow-euler", "flow", initial_scale=1.0, rows=tuple(rows))


def flow_dpm_solver_pp_2m(sigmas: Sequence[float]) -> StepTable:
    """DPM-Solver++ 2M in the data form with midpoint weights (Lu et al. 2022, algorithm 2); order 2.

    With D = x - sigma m and r = h / (2 h0), h0 the step before:

        x' = (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) ((1 + r) D_0 - r D_1)

    The bracket is alpha' (1 - e^-h) without a logarithm, so it is finite at sigma = 1 and at sigma' = 0. The step has
    order 1 (r = 0) where it is the first, where it ends at sigma' = 0 (h is infinite), and where the step before began
    at sigma = 1 (h0 is infinite).
    """
    rows: list[StepRow] = []
    h0 = math.inf
    for i, (sigma, after) in enumerate(_pairs(sigmas)):
        h = _half_log_snr(after) - _half_log_snr(sigma)
        r = 0.0 if after == 0 else h / (2 * h0) if math.isfinite(h0) else 0.0
        weight = (1 - after) - (1 - sigma) * after / sigma
        output = (weight * (1 + r), -weight * r) if i else (weight,)
        rows.append(_row(sigma, convert=(1.0, -sigma), latent=after / sigma, output=output))
        h0 = h
    return StepTable("flow-dpm++2m", "flow", initial_scale=1.0, rows=tuple(rows))


SAMPLERS: Mapping[str, Callable[[Sequence[float]], StepTable]] = {
    "flow-euler": flow_euler,
    "flow-dpm++2m": flow_dpm_solver_pp_2m,
}
"""What `--sampler` may name."""


def compile_table(sampler: str, steps: int, shift: float) -> StepTable:
    """The step table of a named sampler on the default grid of flow_sigmas.

    Raises:
        FewstepError: an unknown sampler, steps < 1 or shift <= 0.
    """
    if sampler not in SAMPLERS:
        raise FewstepError(
            f"expected one of the samplers {', '.join(SAMPLERS)}, found '{sampler}'; choose one of them"
        )
    return SAMPLERS[sampler](flow_sigmas(steps, shift))


def _row(sigma: float, convert: tuple[float, float], latent: float, output: tuple[float, ...]) -> StepRow:
    return StepRow(TIMESTEPS * sigma, 1.0, convert, (latent,), output, noise=0.0)


def _pairs(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """(sigma, sigma') of every step; the levels must fall from at most 1 to at least 0."""
    if len(sigmas) < 2:
        raise FewstepError(
            f"expected at least 2 noise levels, found {len(sigmas)}; give first and last level"
        )
    pairs = [(float(a), float(b)) for a, b in pairwise(sigmas)]
    for i, (sigma, after) in enumerate(pairs):
        if not 1 >= sigma > after >= 0:
            raise FewstepError(
                f"expected noise levels that fall within 1 and 0, found {sigma} then {after} at step {i}; sort them"
            )
    return pairs


def _half_log_snr(sigma: float) -> float:
    """The half log-SNR lambda = log((1 - sigma) / sigma), with its limits at 1 and 0."""
    if sigma in (0.0, 1.0):
        return math.inf if sigma == 0 else -math.inf
    return math.log1p(-sigma) - math.log(sigma)
