"""Schedulers in the variance-exploding frame of k-diffusion: Euler, Euler-ancestral, Heun, DPM2, LMS."""

import math
from itertools import pairwise

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import adams, euler, runge_kutta
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.grids import respaced
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.beta import DiscreteLevels
from fewstep.samplers.schedules.sigmas import exponential_sigmas
from fewstep.samplers.schedules.spacing import spaced
from fewstep.samplers.tape import Solver, compile_solver
from fewstep.step_table import StepTable

_START, _END = 0.00085, 0.012  # the defaults of Heun and DPM2, which differ from the others


def euler_table(config: Config, steps: int, options: Options) -> StepTable:
    """Euler, with churn if the options ask for it (diffusers adds that noise after the evaluation)."""
    solver = euler.euler_churn(options.churn) if options.churn > 0 else euler.euler()
    schedule = config.schedule(tiny=True)
    nodes = _nodes(config, steps, schedule)
    if config.text("timestep_type", "discrete") == "continuous" and config.prediction()[1] == "v":
        nodes = [
            Node(n.alpha, n.sigma, 0.25 * math.log(n.sigma) if n.sigma else 0.0, n.input_scale) for n in nodes
        ]
    return _table(config, solver, nodes)


def euler_ancestral_table(config: Config, steps: int, options: Options) -> StepTable:
    """Euler-ancestral, with eta 1 as diffusers has it."""
    del options
    schedule = config.schedule(tiny=True)
    return _table(config, euler.euler_ancestral(), _nodes(config, steps, schedule))


def heun_table(config: Config, steps: int, options: Options) -> StepTable:
    """Heun; the last step is Euler's."""
    del options
    config.refuse_clipping(default=False)
    schedule = config.schedule(_START, _END)
    return _table(config, runge_kutta.runge_kutta(runge_kutta.HEUN_2), _nodes(config, steps, schedule))


def lms_table(config: Config, steps: int, options: Options) -> StepTable:
    """LMS of order 4; diffusers integrates by quadrature to 1e-4, which for polynomials is exact."""
    del options
    return _table(config, adams.lms(4), _nodes(config, steps, config.schedule()))


def dpm2_table(config: Config, steps: int, options: Options) -> StepTable:
    """DPM2 with stages at the geometric mean of two levels."""
    del options
    return _dpm2(config, steps, eta=0.0)


def dpm2_ancestral_table(config: Config, steps: int, options: Options) -> StepTable:
    """DPM2 ancestral: the stage lies between a level and the one it steps down to."""
    del options
    return _dpm2(config, steps, eta=1.0)


def _dpm2(config: Config, steps: int, eta: float) -> StepTable:
    schedule = config.schedule(_START, _END)
    nodes = _nodes(config, steps, schedule, rounded=True)
    frame = DiscreteLevels(schedule.alphas_cumprod, exploding=True)
    middles = []
    for here, there in pairwise(nodes[:-1]):
        down, _ = runge_kutta.ancestral_levels(here.sigma, there.sigma, eta)
        middles.append(frame.at_rho(math.sqrt(here.sigma * down)))
    return _table(config, runge_kutta.dpm2(middles, eta), nodes)


def _nodes(config: Config, steps: int, schedule: DiscreteLevels, rounded: bool = False) -> list[Node]:
    rhos = schedule.rhos
    timesteps = spaced(config.spacing, config.total, steps, config.integer("steps_offset", 0))
    levels = np.interp(timesteps, np.arange(len(rhos)), rhos)
    last = float(rhos[0]) if config.text("final_sigmas_type", "zero") == "sigma_min" else 0.0
    respace = respaced(config, len(levels), float(levels[-1]), float(levels[0]))
    if respace is not None:
        levels = respace
        timesteps = np.array([schedule.timestep_of(float(level)) for level in levels])
        if rounded and config.flag("use_karras_sigmas"):
            timesteps = timesteps.round()
    elif config.text("interpolation_type", "linear") == "log_linear":
        *head, last = (float(s) for s in exponential_sigmas(steps + 1, float(rhos[0]), float(rhos[-1])))
        levels = np.array(head)
    elif config.text("interpolation_type", "linear") != "linear":
        raise FewstepError(
            f"expected linear or log_linear, found another, in field 'interpolation_type' of {config.name}"
        )
    frame = DiscreteLevels(schedule.alphas_cumprod, exploding=True)
    nodes = [frame.at_rho(float(s), float(t)) for s, t in zip(levels, timesteps, strict=True)]
    return [*nodes, frame.at_rho(last, 0.0)]


def _table(config: Config, solver: Solver, nodes: list[Node]) -> StepTable:
    """The initial noise has the largest sigma, or with leading spacing the standard deviation of its latents."""
    prediction, name = config.prediction()
    largest = max(node.sigma for node in nodes)
    scale = math.sqrt(largest**2 + 1) if config.spacing == "leading" else largest
    return compile_solver(solver, nodes, prediction, (config.name, name), scale)
