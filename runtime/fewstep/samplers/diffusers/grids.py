"""The levels of the DPM-Solver family of diffusers: rho = sigma / alpha of the schedule, respaced, or flow sigmas."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.beta import DiscreteLevels
from fewstep.samplers.schedules.flow import resolution_mu
from fewstep.samplers.schedules.sigmas import beta_sigmas, exponential_sigmas, karras_sigmas
from fewstep.samplers.schedules.spacing import Floats, spaced_open


@dataclass(frozen=True)
class Grid:
    """Levels without the last one, what the network is told there, and whether they are flow levels."""

    levels: Floats
    timesteps: Floats
    flow: bool = False
    respaced: bool = False

    def nodes(self, last: float) -> list[Node]:
        """The nodes, with the last level added."""
        told = [*np.trunc(self.timesteps), 0.0]  # diffusers casts them to int64
        return [self._node(float(s), float(t)) for s, t in zip([*self.levels, last], told, strict=True)]

    def _node(self, level: float, timestep: float) -> Node:
        if self.flow:
            return Node(1 - level, level, timestep)
        scale = 1 / np.sqrt(level**2 + 1)
        return Node(float(scale), float(level * scale), timestep)


def respaced(config: Config, steps: int, smallest: float, largest: float, lu: bool = False) -> Floats | None:
    """The levels of use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas or use_lu_lambdas; None without."""
    chosen: list[Callable[[int, float, float], Floats]] = []
    if config.flag("use_karras_sigmas"):
        chosen.append(karras_sigmas)
    if config.flag("use_exponential_sigmas"):
        chosen.append(exponential_sigmas)
    if config.flag("use_beta_sigmas"):
        chosen.append(beta_sigmas)
    if lu and config.flag("use_lu_lambdas"):
        chosen.append(exponential_sigmas)
    if len(chosen) > 1:
        raise FewstepError(
            f"expected one spacing of the sigmas, found {len(chosen)}, in {config.name}; set one of them"
        )
    low, high = config.optional_number("sigma_min"), config.optional_number("sigma_max")
    ends = smallest if low is None else low, largest if high is None else high
    return chosen[0](steps, *ends) if chosen else None


def timestep_shift(config: Config, key: str, options: Options) -> float:
    """The shift of flow levels in that field, or with use_dynamic_shifting that of the picture's size.

    Raises:
        FewstepError: dynamic shifting, and the options give neither the number of tokens nor mu.
    """
    if not config.flag("use_dynamic_shifting"):
        return config.number(key, 1.0)
    kind = config.text("time_shift_type", "exponential")
    if kind not in ("exponential", "linear"):
        raise FewstepError(
            f"expected exponential or linear, found '{kind}', in field 'time_shift_type' of {config.name}"
        )
    mu = _mu(config, options, kind)
    return mu if kind == "linear" else math.exp(mu)


def _mu(config: Config, options: Options, kind: str) -> float:
    """As the pipelines of Flux and its kin compute it, linear in the tokens, or CogView4's, by the root of their number."""
    if options.mu is not None:
        return options.mu
    if options.tokens is None:
        raise FewstepError(
            f"expected the size of the picture, as 'use_dynamic_shifting' is set, found none, for {config.name}; give "
            "Options(tokens=...), the number of latent patches that the network sees"
        )
    few = config.integer("base_image_seq_len", 256), config.number("base_shift", 0.5)
    many = config.integer("max_image_seq_len", 4096), config.number("max_shift", 1.15)
    if kind == "linear":
        return few[1] + many[1] * math.sqrt(options.tokens / few[0])
    return resolution_mu(options.tokens, few, many)


def dpm_grid(
    config: Config, steps: int, options: Options, schedule: DiscreteLevels, always_linspace: bool = False
) -> Grid:
    """The grid that DPM-Solver multistep and singlestep, DEIS and SA-Solver share."""
    lu = config.name.startswith("DPMSolverMultistep")
    rhos = schedule.rhos
    levels = respaced(config, steps, float(rhos[0]), float(rhos[-1]), lu)
    if levels is not None:
        timesteps = np.array([schedule.timestep_of(float(level)) for level in levels])
        cosine = lu and config.text("beta_schedule", "linear") == "squaredcos_cap_v2"
        if (config.flag("use_karras_sigmas") or config.flag("use_lu_lambdas")) and not cosine:
            timesteps = timesteps.round()
        return Grid(levels, timesteps, respaced=True)
    if config.flag("use_flow_sigmas"):
        shift = timestep_shift(config, "flow_shift", options)
        u = 1 - np.linspace(1, 1 / config.total, steps + 1)
        levels = np.flip(shift * u / (1 + (shift - 1) * u))[:-1]
        return Grid(levels, levels * config.total, flow=True, respaced=True)
    clipped = config.number("lambda_min_clipped", -np.inf)
    last = config.total - int(np.searchsorted(-np.log(rhos)[::-1], clipped))
    spacing = "linspace" if always_linspace else config.spacing
    timesteps = spaced_open(spacing, config.total, steps, config.integer("steps_offset", 0), last)
    levels = np.interp(timesteps, np.arange(len(rhos)), rhos)
    return Grid(levels, timesteps)


def with_last(config: Config, grid: Grid, schedule: DiscreteLevels, options: Options) -> list[Node]:
    """The nodes of DEIS and SA-Solver, which end at the smallest level of the schedule.

    After respaced sigmas diffusers repeats the last one, so that the last evaluation changes nothing; compat None ends
    at 0 instead.
    """
    del config
    if grid.respaced:
        return grid.nodes(float(grid.levels[-1]) if options.compat else 0.0)
    return grid.nodes(float(schedule.rhos[0]))


def final_level(config: Config, schedule: DiscreteLevels) -> float:
    """The last level by final_sigmas_type: 0, or rho at timestep 0."""
    kind = config.text("final_sigmas_type", "zero")
    if kind not in ("zero", "sigma_min"):
        raise FewstepError(
            f"expected zero or sigma_min, found '{kind}', in field 'final_sigmas_type' of {config.name}"
        )
    return 0.0 if kind == "zero" else float(schedule.rhos[0])
