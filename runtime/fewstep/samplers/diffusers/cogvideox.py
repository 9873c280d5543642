"""The schedulers of CogVideoX, which CogView3 carries: DDIM and SDE-DPM-Solver++ 2M on a schedule with shifted SNR.

Their `clip_sample` is never read. Like DDIM they step from t to t - T // N (`discrete.levels`).
"""

from collections.abc import Sequence

from fewstep.samplers import ddim
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.discrete import levels
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.exponential import midpoint
from fewstep.samplers.multistep import data_step, noise_amount
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.beta import DiscreteLevels
from fewstep.samplers.tape import Solver, Tape, Value, compile_solver
from fewstep.step_table import StepTable


def ddim_table(config: Config, steps: int, options: Options) -> StepTable:
    """DDIM, always without noise."""
    pairs = levels(config, _schedule(config), steps, options)
    return _table(config, ddim.ddim_from(pairs), pairs)


def dpm_table(config: Config, steps: int, options: Options) -> StepTable:
    """SDE-DPM-Solver++ 2M with midpoint weights; the step that leaves the table of timesteps is of first order."""
    pairs = levels(config, _schedule(config), steps, options)
    return _table(config, _sde(pairs, config.total // steps), pairs)


def _sde(pairs: Sequence[tuple[Node, Node]], size: int) -> Solver:
    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        del nodes  # the pairs say more
        x = tape.initial
        history: list[tuple[Node, Value]] = []
        for here, there in pairs:
            history.insert(0, (here, tape(x, here)[0]))
            order = 1 if here.timestep < size else 2
            x = data_step(x, history[:order], there, midpoint, rate=2.0)
            if amount := noise_amount(here, there, rate=2.0):
                x = x + amount * tape.noise()
        return x

    return solve


def _schedule(config: Config) -> DiscreteLevels:
    return config.schedule(0.00085, 0.012, "scaled_linear", shift=config.number("snr_shift_scale", 3.0))


def _table(config: Config, solver: Solver, pairs: Sequence[tuple[Node, Node]]) -> StepTable:
    prediction, name = config.prediction()
    return compile_solver(solver, [pairs[0][0], pairs[-1][1]], prediction, (config.name, name), 1.0)
