"""Flow-matching schedulers: Euler, Heun, LCM and the ancestral Euler of LTX."""

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import consistency, euler, frames, runge_kutta
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.grids import respaced, timestep_shift
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import flow
from fewstep.samplers.schedules.spacing import Floats
from fewstep.samplers.tape import Solver, compile_solver
from fewstep.step_table import StepTable


def euler_table(config: Config, steps: int, options: Options) -> StepTable:
    """Flow-Euler, or with stochastic_sampling the same grid by adding noise again."""
    solver = consistency.renoise if config.flag("stochastic_sampling") else euler.euler(frames.FLOW)
    return _table(config, solver, steps, options)


def heun_table(config: Config, steps: int, options: Options) -> StepTable:
    """Heun on the flow; the last step is Euler's."""
    return _table(config, runge_kutta.runge_kutta(runge_kutta.HEUN_2, frame=frames.FLOW), steps, options)


def lcm_table(config: Config, steps: int, options: Options) -> StepTable:
    """Predict, add noise again; growing pictures (scale_factors) change the shape of the latents and are refused."""
    config.refuse("scale_factors", None, None, "the latents would change their shape")
    return _table(config, consistency.renoise, steps, options)


def ltx_table(config: Config, steps: int, options: Options) -> StepTable:
    """Euler-ancestral for flow, on a grid without shift."""
    config.refuse("s_noise", 1.0, 1.0, "only unit noise is built")
    return _table(config, euler.euler_ancestral_flow(config.number("eta", 1.0)), steps, options)


def _table(config: Config, solver: Solver, steps: int, options: Options) -> StepTable:
    levels = flow_levels(config, steps, options)
    nodes = [Node(1 - float(s), float(s), config.total * float(s)) for s in [*levels, 0.0]]
    return compile_solver(solver, nodes, flow, (config.name, "flow"), 1.0)


def flow_levels(config: Config, steps: int, options: Options) -> Floats:
    """The levels without the last 0.

    diffusers' default runs evenly from 1 to the smallest *shifted* level and then shifts again: two steps are asked at 1
    and 0.0089. Pipelines give `sigmas` of their own (SD3, Flux: 1 to 1/N), and few-step students must. compat None takes
    those of SD3.
    """
    config.refuse("invert_sigmas", False, False, "levels would rise")
    shift = timestep_shift(config, "shift", options)
    twice = 1.0 if config.flag("use_dynamic_shifting") else shift
    levels = _unshifted(config, steps, options, twice)
    levels = shift * levels / (1 + (shift - 1) * levels)
    if terminal := config.optional_number("shift_terminal"):
        levels = 1 - (1 - levels) / ((1 - levels[-1]) / (1 - terminal))
    chosen = respaced(config, len(levels), float(levels[-1]), float(levels[0]))
    return levels if chosen is None else chosen


def _unshifted(config: Config, steps: int, options: Options, shift: float) -> Floats:
    if options.sigmas is not None:
        return np.array(options.sigmas, dtype=np.float64)
    if steps < 1:
        raise FewstepError(f"expected at least 1 step, found {steps}; choose a larger number of steps")
    if options.compat is None:
        return np.linspace(1, 1 / steps, steps)
    smallest = 1 / config.total
    return np.linspace(1, shift * smallest / (1 + (shift - 1) * smallest), steps)
