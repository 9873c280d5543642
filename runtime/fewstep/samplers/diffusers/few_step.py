"""Schedulers of distilled models: LCM, TCD, SCM (TrigFlow)."""

import math

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import consistency
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import trigflow, with_boundary
from fewstep.samplers.schedules.beta import DiscreteLevels
from fewstep.samplers.schedules.trigflow import trigflow_nodes
from fewstep.samplers.tape import compile_solver
from fewstep.step_table import StepTable

_TIMES = (1.5708, 1.3, 0.0)  # of SANA-Sprint with two steps
_GAMMA = 0.3


def lcm_table(config: Config, steps: int, options: Options) -> StepTable:
    """LCM: c_skip x + c_out D, then noise again."""
    del options
    schedule = _schedule(config)
    nodes = [*(schedule.at_alpha_bar(t) for t in _timesteps(config, steps)), Node(1.0, 0.0)]
    prediction, name = config.prediction()
    bounded = with_boundary(prediction, config.number("timestep_scaling", 10.0))
    return compile_solver(consistency.renoise, nodes, bounded, (config.name, name), 1.0)


def tcd_table(config: Config, steps: int, options: Options) -> StepTable:
    """TCD with gamma = options.eta; the run ends at the level floor((1 - gamma) 0) = 0 of the schedule."""
    gamma = _GAMMA if options.eta is None else options.eta
    if not 0 <= gamma <= 1:
        raise FewstepError(f"expected gamma from 0 to 1, found {gamma}, for {config.name}; choose 0.3")
    schedule, timesteps = _schedule(config), _timesteps(config, steps)
    after = [*timesteps[1:], 0]
    nodes = [schedule.at_alpha_bar(t) for t in [*timesteps, 0]]
    below = [schedule.at_alpha_bar(math.floor((1 - gamma) * t)) for t in after]
    prediction, name = config.prediction()
    return compile_solver(consistency.tcd(gamma, below), nodes, prediction, (config.name, name), 1.0)


def scm_table(config: Config, steps: int, options: Options) -> StepTable:
    """Continuous-time consistency in TrigFlow; times are rounded to float32, as diffusers holds them."""
    sigma_data = config.number("sigma_data", 0.5)
    config.refuse("prediction_type", "trigflow", "trigflow", "the scheduler knows no other")
    times = options.times or (_TIMES if steps == 2 else tuple(np.linspace(_TIMES[0], 0, steps + 1)))
    if len(times) != steps + 1:
        raise FewstepError(f"expected {steps + 1} times for {steps} steps, found {len(times)}; give one more")
    told = [float(np.float32(t)) if options.compat else float(t) for t in times]
    nodes = trigflow_nodes(told, sigma_data)
    return compile_solver(consistency.renoise, nodes, trigflow, (config.name, "trigflow"), sigma_data)


def _schedule(config: Config) -> DiscreteLevels:
    config.refuse_thresholding()
    config.refuse_clipping(default=False)
    return config.schedule(0.00085, 0.012, "scaled_linear")


def _timesteps(config: Config, steps: int) -> list[int]:
    """Timesteps evenly picked among the `original_inference_steps` of the distillation."""
    original = config.integer("original_inference_steps", 50)
    if not 1 <= steps <= original:
        raise FewstepError(
            f"expected 1 to {original} steps (original_inference_steps), found {steps}, for {config.name}; choose 4"
        )
    grid = (np.arange(1, original + 1) * (config.total // original) - 1)[::-1]
    picked = np.floor(np.linspace(0, original, steps, endpoint=False)).astype(int)
    return [int(t) for t in grid[picked]]
