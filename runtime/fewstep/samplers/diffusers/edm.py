"""Schedulers on the EDM preconditioning: Euler, DPM-Solver++, and multistep consistency models."""

import math

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import consistency, euler
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.dpm import multistep_solver
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import Prediction, edm
from fewstep.samplers.prediction import consistency as consistency_model
from fewstep.samplers.schedules.edm import edm_nodes
from fewstep.samplers.schedules.sigmas import exponential_sigmas, karras_sigmas
from fewstep.samplers.tape import Solver, compile_solver
from fewstep.step_table import StepTable


def euler_table(config: Config, steps: int, options: Options) -> StepTable:
    """Euler, with churn if the options ask for it."""
    solver = euler.euler_churn(options.churn) if options.churn > 0 else euler.euler()
    return _table(config, solver, steps)


def dpm_solver_table(config: Config, steps: int, options: Options) -> StepTable:
    """DPM-Solver++ multistep."""
    config.refuse_thresholding()
    return _table(config, multistep_solver(config, steps, options), steps)


def consistency_table(config: Config, steps: int, options: Options) -> StepTable:
    """Multistep consistency sampling (Song et al. 2023), on evenly picked levels of a Karras schedule."""
    del options
    config.refuse("clip_denoised", True, False, "clipping is not linear in the network's output")
    config.refuse("s_noise", 1.0, 1.0, "only unit noise is built")
    total = config.integer("num_train_timesteps", 40)
    if not 1 <= steps <= total:
        raise FewstepError(f"expected 1 to {total} steps, found {steps}, for {config.name}; choose 2")
    smallest, largest = config.number("sigma_min", 0.002), config.number("sigma_max", 80.0)
    data = config.number("sigma_data", 0.5)
    grid = karras_sigmas(total, smallest, largest, config.number("rho", 7.0))
    nodes = [
        Node(1.0, float(s), 250 * math.log(s), 1 / math.sqrt(s**2 + data**2))
        for s in [*grid[np.arange(steps) * (total // steps)], smallest]
    ]
    return compile_solver(
        consistency.consistency(smallest),
        nodes,
        consistency_model(data, smallest),
        (config.name, "consistency"),
        largest,
    )


def _table(config: Config, solver: Solver, steps: int) -> StepTable:
    smallest, largest = config.number("sigma_min", 0.002), config.number("sigma_max", 80.0)
    data = config.number("sigma_data", 0.5)
    if config.text("sigma_schedule", "karras") == "exponential":
        sigmas = exponential_sigmas(steps, smallest, largest)
    else:
        sigmas = karras_sigmas(steps, smallest, largest, config.number("rho", 7.0))
    last = smallest if config.text("final_sigmas_type", "zero") == "sigma_min" else 0.0
    nodes = edm_nodes([*sigmas, last], data)
    return compile_solver(
        solver, nodes, _prediction(config, data), (config.name, "edm"), math.sqrt(largest**2 + 1)
    )


def _prediction(config: Config, sigma_data: float) -> Prediction:
    kind = config.text("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise FewstepError(
            f"expected epsilon or v_prediction, found '{kind}', in field 'prediction_type' of {config.name}"
        )
    return edm(sigma_data, 1.0 if kind == "epsilon" else -1.0)
