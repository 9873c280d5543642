"""Schedulers in exponential form: DPM-Solver(++) multistep and singlestep, DEIS, UniPC, SA-Solver."""

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import deis, dpm_solver, dpm_solver_pp, sa_solver
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.grids import Grid, dpm_grid, final_level, respaced, timestep_shift, with_last
from fewstep.samplers.diffusers.options import Options
from fewstep.samplers.dpm_solver_pp import SECOND, Second
from fewstep.samplers.multistep import Multistep
from fewstep.samplers.prediction import Prediction
from fewstep.samplers.schedules.beta import DiscreteLevels
from fewstep.samplers.schedules.spacing import spaced_open
from fewstep.samplers.singlestep import Singlestep
from fewstep.samplers.tape import compile_solver
from fewstep.samplers.unipc import UniPC
from fewstep.step_table import StepTable

_FEW = 15  # below so many steps lower_order_final lowers the order of the last two


def multistep_table(config: Config, steps: int, options: Options) -> StepTable:
    """DPM-Solver(++) 1, 2M and 3M, and their SDE forms."""
    schedule = config.schedule(tiny=True)
    prediction, name = _prediction(config)
    grid = dpm_grid(config, steps, options, schedule)
    solver = multistep_solver(config, len(grid.levels), options)
    nodes = grid.nodes(final_level(config, schedule))
    return compile_solver(solver, nodes, prediction, (config.name, name), 1.0)


def multistep_solver(config: Config, steps: int, options: Options) -> Multistep:
    """The solver of a multistep configuration, also of the EDM one."""
    order, second = config.integer("solver_order", 2), _second(config)
    algorithm = config.text("algorithm_type", "dpmsolver++").replace("deis", "dpmsolver++")
    lowered = config.flag("lower_order_final", True) and steps < _FEW
    last: tuple[int, ...] = (2, 1) if lowered else ()
    zero = config.text("final_sigmas_type", "zero") == "zero"
    if not last and (zero or config.flag("euler_at_final")):
        last = (1,)
    if algorithm == "dpmsolver++":
        return dpm_solver_pp.multistep(order, second, last, options.compat)
    if algorithm == "sde-dpmsolver++":
        return dpm_solver_pp.sde(order, second, last, options.compat)
    if algorithm == "dpmsolver":
        return dpm_solver.multistep(order, second, last, options.compat)
    if algorithm == "sde-dpmsolver" and order < 3:
        return dpm_solver.sde(order, second, last)
    raise FewstepError(
        f"expected algorithm_type dpmsolver++, sde-dpmsolver++, dpmsolver, or sde-dpmsolver of order 1 or 2, found "
        f"'{algorithm}' of order {order}, in {config.name}; choose sde-dpmsolver++"
    )


def singlestep_table(config: Config, steps: int, options: Options) -> StepTable:
    """DPM-Solver(++) 1, 2S and 3S; the stages are the schedule's own points."""
    schedule = config.schedule()
    prediction, name = _prediction(config)
    algorithm = config.text("algorithm_type", "dpmsolver++").replace("deis", "dpmsolver++")
    order, stochastic = config.integer("solver_order", 2), algorithm == "sde-dpmsolver++"
    if stochastic and order == 3:
        raise FewstepError(
            f"expected solver_order 1 or 2 with sde-dpmsolver++, found 3, in {config.name}, whose third order has a "
            "wrong sign; set 'solver_order' to 2"
        )
    zero = config.text("final_sigmas_type", "zero") == "zero"
    lowered = config.flag("lower_order_final") or zero or bool(steps % order)
    sizes = _groups(steps, order, lowered, zero)
    solver = Singlestep(
        lambda *_: sizes,
        SECOND[_second(config)],
        rate=2.0 if stochastic else 1.0,
        noise_form=algorithm == "dpmsolver",
        compat=options.compat,
    )
    grid = dpm_grid(config, steps, options, schedule, always_linspace=True)
    nodes = grid.nodes(final_level(config, schedule))
    return compile_solver(solver, nodes, prediction, (config.name, name), 1.0)


def deis_table(config: Config, steps: int, options: Options) -> StepTable:
    """DEIS in log rho; `solver_order` counts outputs."""
    schedule = config.schedule()
    prediction, name = _prediction(config)
    grid = dpm_grid(config, steps, options, schedule)
    lowered = config.flag("lower_order_final", True) and len(grid.levels) < _FEW
    solver = deis.log_rho(config.integer("solver_order", 2), (2, 1) if lowered else ())
    return compile_solver(
        solver, with_last(config, grid, schedule, options), prediction, (config.name, name), 1.0
    )


def sa_solver_table(config: Config, steps: int, options: Options) -> StepTable:
    """SA-Solver in the data form, with noise at timesteps 200 to 800."""
    config.refuse("algorithm_type", "data_prediction", "data_prediction", "only the data form is built")
    config.refuse("tau_func", None, None, "a function cannot stand in a configuration")
    schedule = config.schedule()
    prediction, name = _prediction(config)
    grid = dpm_grid(config, steps, options, schedule)
    solver = sa_solver.SASolver(
        config.integer("predictor_order", 2),
        config.integer("corrector_order", 2),
        lower_order_final=config.flag("lower_order_final", True),
    )
    return compile_solver(
        solver, with_last(config, grid, schedule, options), prediction, (config.name, name), 1.0
    )


def unipc_table(config: Config, steps: int, options: Options) -> StepTable:
    """UniPC; its grid differs from that of DPM-Solver in the flow levels and in the last level."""
    config.refuse("solver_p", None, None, "another scheduler cannot stand in a table")
    schedule = config.schedule(tiny=True)
    prediction, name = _prediction(config)
    kind = config.text("solver_type", "bh2")
    uncorrected = config.numbers("disable_corrector")
    solver = UniPC(
        config.integer("solver_order", 2),
        "bh1" if kind == "bh1" else "bh2",
        noise_form=not config.flag("predict_x0", True),
        lower_order_final=config.flag("lower_order_final", True),
        uncorrected=frozenset() if uncorrected is None else frozenset(int(i) for i in uncorrected),
    )
    grid = _unipc_grid(config, steps, options, schedule)
    last = final_level(config, schedule)
    if last and grid.respaced:
        last = float(grid.levels[-1])
    return compile_solver(solver, grid.nodes(last), prediction, (config.name, name), 1.0)


def _unipc_grid(config: Config, steps: int, options: Options, schedule: DiscreteLevels) -> Grid:
    rhos, flow = schedule.rhos, config.flag("use_flow_sigmas")
    levels = respaced(config, steps, float(rhos[0]), float(rhos[-1]))
    if levels is not None:
        if flow and config.flag("use_karras_sigmas"):
            levels = levels / (levels + 1)
            return Grid(levels, levels * config.total, flow=True, respaced=True)
        timesteps = np.array([schedule.timestep_of(float(level)) for level in levels])
        if config.flag("use_karras_sigmas"):
            timesteps = timesteps.round()
        return Grid(levels, timesteps, respaced=True)
    if not flow:
        timesteps = spaced_open(config.spacing, config.total, steps, config.integer("steps_offset", 0))
        return Grid(np.interp(timesteps, np.arange(len(rhos)), rhos), timesteps)
    u = np.array(options.sigmas) if options.sigmas else np.linspace(1, 1 / config.total, steps + 1)[:-1]
    shift = timestep_shift(config, "flow_shift", options)
    levels = shift * u / (1 + (shift - 1) * u)
    if terminal := config.optional_number("shift_terminal"):
        levels = 1 - (1 - levels) / ((1 - levels[-1]) / (1 - terminal))
    if abs(levels[0] - 1) < 1e-6:  # diffusers keeps away from alpha = 0
        levels[0] -= 1e-6
    return Grid(levels, levels * config.total, flow=True, respaced=True)


def _groups(steps: int, order: int, lowered: bool, zero: bool) -> list[int]:
    """Sizes of the groups by `get_order_list`, whose list begins a group at every 1."""
    whole, rest = divmod(steps, order)
    if not lowered or order == 1:
        sizes = [order] * whole
    elif order == 2:
        sizes = [2] * whole + [1] if rest else [2] * (whole - 1) + [1, 1]
    elif rest:
        sizes = [3] * whole + [rest]
    else:
        sizes = [3] * (whole - 1) + [2, 1]
    if zero and sizes[-1] > 1:
        sizes = [*sizes[:-1], sizes[-1] - 1, 1]
    return sizes


def _prediction(config: Config) -> tuple[Prediction, str]:
    config.refuse_thresholding()
    config.refuse_learned_variance()
    found = config.prediction()
    flow = config.flag("use_flow_sigmas")
    if (found[1] == "flow" and not flow) or (found[1] == "v" and flow):
        raise FewstepError(
            f"expected flow_prediction with use_flow_sigmas and v_prediction without, found {found[1]} prediction with "
            f"use_flow_sigmas {flow}, in {config.name}; make both agree"
        )
    return found


def _second(config: Config) -> Second:
    return "exact" if config.text("solver_type", "midpoint") == "heun" else "midpoint"
