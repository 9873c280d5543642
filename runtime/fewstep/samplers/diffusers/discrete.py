"""Schedulers on the table abar itself: DDIM, DDPM, PNDM, iPNDM."""

import math

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import adams, ddim, ddpm, pndm
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import velocity
from fewstep.samplers.schedules.beta import DiscreteLevels
from fewstep.samplers.schedules.spacing import Floats, spaced
from fewstep.samplers.tape import compile_solver
from fewstep.step_table import StepTable

_CLEAN = Node(1.0, 0.0)


def ddim_table(config: Config, steps: int, options: Options) -> StepTable:
    """DDIM: each step goes from t to t - T // N, or with compat None to the next timestep."""
    config.refuse_thresholding()
    config.refuse_clipping(default=True)
    pairs = levels(config, config.schedule(), steps, options)
    solver = ddim.ddim_from(pairs, options.eta or 0.0)
    prediction, name = config.prediction()
    return compile_solver(solver, [pairs[0][0], pairs[-1][1]], prediction, (config.name, name), 1.0)


def levels(config: Config, schedule: DiscreteLevels, steps: int, options: Options) -> list[tuple[Node, Node]]:
    """Pairs (where the network is asked, where the step ends) of DDIM and of the schedulers of CogVideoX."""
    timesteps = _timesteps(config, steps)
    final = _CLEAN if config.flag("set_alpha_to_one", True) else schedule.at_alpha_bar(0)
    here = [schedule.at_alpha_bar(int(t)) for t in timesteps]
    there = [*here[1:], final]
    if options.compat:
        there = [_level(schedule, int(t) - config.total // steps, final) for t in timesteps]
    return list(zip(here, there, strict=True))


def ddpm_table(config: Config, steps: int, options: Options) -> StepTable:
    """DDPM; diffusers leaves the noise out at t = 0 alone, so a schedule that ends above 0 ends with noise."""
    config.refuse_thresholding()
    config.refuse_clipping(default=True)
    config.refuse_learned_variance()
    config.refuse("variance_type", "fixed_small", _known(config), "diffusers computes NaN for it")
    schedule = config.schedule()
    timesteps = _timesteps(config, steps)
    nodes = [*(schedule.at_alpha_bar(int(t)) for t in timesteps), _CLEAN]
    large = config.text("variance_type", "fixed_small") == "fixed_large"
    last = options.compat is not None and timesteps[-1] > 0
    prediction, name = config.prediction()
    solver = ddpm.ddpm("large" if large else "small", last_noise=last)
    return compile_solver(solver, nodes, prediction, (config.name, name), 1.0)


def pndm_table(config: Config, steps: int, options: Options) -> StepTable:
    """PNDM with PLMS after its Runge-Kutta warm-up, or (skip_prk_steps) after one corrected Euler step."""
    del options
    schedule = config.schedule()
    final = _CLEAN if config.flag("set_alpha_to_one") else schedule.at_alpha_bar(0)
    grid = [int(t) for t in _timesteps(config, steps)]  # falling
    size = config.total // steps

    def evaluation(asked: int, here: int, there: int) -> pndm.Evaluation:
        return pndm.Evaluation(
            schedule.at_alpha_bar(asked), schedule.at_alpha_bar(here), _level(schedule, there, final)
        )

    if steps < 4 and not config.flag("skip_prk_steps"):
        raise FewstepError(
            f"expected at least 4 steps, which the Runge-Kutta warm-up takes, found {steps}, for {config.name}; set "
            "'skip_prk_steps' to true"
        )
    if config.flag("skip_prk_steps"):
        asked = [*grid[:1], *grid[1:2], *grid[1:]]
        plms = [evaluation(t, t, t - size) for t in asked]
        if len(plms) > 1:
            plms[1] = evaluation(asked[1], asked[1] + size, asked[1])
        prk: list[pndm.Evaluation] = []
    else:
        prk, plms = (
            [
                evaluation(t, anchor, t - (0 if i % 2 else size // 2))
                for i, (t, anchor) in enumerate(_runge_kutta(grid, size))
            ],
            [evaluation(t, t, t - size) for t in grid[3:]],
        )
    prediction, name = config.prediction()
    solver = pndm.PNDM(tuple(prk), tuple(plms), prediction)
    return compile_solver(
        solver, [schedule.at_alpha_bar(grid[0]), final], prediction, (config.name, name), 1.0
    )


def ipndm_table(config: Config, steps: int, options: Options) -> StepTable:
    """IPNDM on sigma = sin^2(pi t / 2), alpha = sqrt(1 - sigma^2), with a network that predicts v."""
    del options
    betas = config.numbers("trained_betas")
    if betas is None:
        betas = np.sin(np.append(np.linspace(1, 0, steps + 1)[:-1], 0.0) * math.pi / 2) ** 2
    nodes = []
    for sigma in betas:
        alpha = math.sqrt(1 - float(sigma) ** 2)
        nodes.append(Node(alpha, float(sigma), math.atan2(float(sigma), alpha) / math.pi * 2))
    return compile_solver(adams.ipndm, nodes, velocity, (config.name, "v"), 1.0)


def _timesteps(config: Config, steps: int) -> Floats:
    return spaced(
        config.spacing_or("leading"), config.total, steps, config.integer("steps_offset", 0)
    ).round()


def _level(schedule: DiscreteLevels, timestep: int, final: Node) -> Node:
    return schedule.at_alpha_bar(timestep) if timestep >= 0 else final


def _runge_kutta(grid: list[int], size: int) -> list[tuple[int, int]]:
    """(timestep asked, timestep of the anchor) of the 12 evaluations of the warm-up."""
    first = np.array(grid[:4][::-1]).repeat(2) + np.tile(np.array([0, size // 2]), len(grid[:4]))
    asked = first[:-1].repeat(2)[1:-1][::-1]
    return [(int(t), int(asked[i // 4 * 4])) for i, t in enumerate(asked)]


def _known(config: Config) -> str:
    found = config.text("variance_type", "fixed_small")
    return found if found in ("fixed_small", "fixed_small_log", "fixed_large") else "fixed_small"
