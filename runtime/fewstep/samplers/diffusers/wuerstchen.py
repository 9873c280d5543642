"""The scheduler of Würstchen and Stable Cascade: DDPM on a continuous cosine schedule; the network is told t in [0, 1]."""

import math

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import ddpm
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import epsilon
from fewstep.samplers.tape import compile_solver
from fewstep.step_table import StepTable

_NEARLY_CLEAN = 0.9999  # abar is cut there and at 1 - 0.9999


def table(config: Config, steps: int, options: Options) -> StepTable:
    """Steps even in t, without noise in the last one, which ends at abar = 0.9999."""
    del options
    if steps < 1:
        raise FewstepError(f"expected at least 1 step, found {steps}; choose a larger number of steps")
    offset, power = config.number("s", 0.008), config.number("scaler", 1.0)
    nodes = [_node(float(t), offset, power) for t in np.linspace(1, 0, steps + 1)]
    return compile_solver(ddpm.ddpm(), nodes, epsilon, (config.name, "epsilon"), 1.0)


def _node(t: float, offset: float, power: float) -> Node:
    """abar(t) = cos^2((u + s) / (1 + s) pi / 2), 1 at u = 0, with u = t^power, or 1 - (1 - t)^power above 1."""
    u = 1 - (1 - t) ** power if power > 1 else t**power
    ratio = math.cos((u + offset) / (1 + offset) * math.pi / 2) / math.cos(
        offset / (1 + offset) * math.pi / 2
    )
    abar = min(max(ratio**2, 1 - _NEARLY_CLEAN), _NEARLY_CLEAN)
    return Node(math.sqrt(abar), math.sqrt(1 - abar), t)
