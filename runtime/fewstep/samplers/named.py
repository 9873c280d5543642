"""Samplers by name, for flow networks on the default levels: what `--sampler` may say.

Each asks the network once a step, so that the name of a table, like "flow-dpm++2m-20", tells its steps. Any other solver,
schedule or prediction is compiled by `compile_solver`.
"""

from collections.abc import Mapping, Sequence

from fewstep.errors import FewstepError
from fewstep.samplers import adams, consistency, deis, dpm_solver_pp, euler, frames, prediction
from fewstep.samplers.sa_solver import SASolver
from fewstep.samplers.schedules.flow import flow_nodes, flow_sigmas
from fewstep.samplers.tape import Solver, compile_solver
from fewstep.samplers.unipc import UniPC
from fewstep.step_table import StepTable

SAMPLERS: Mapping[str, Solver] = {
    "flow-euler": euler.euler(frames.FLOW),
    "flow-dpm++2m": dpm_solver_pp.multistep(2),
    "flow-dpm++3m": dpm_solver_pp.multistep(3),
    "flow-dpm++2s": dpm_solver_pp.singlestep(2),
    "flow-dpm++3s": dpm_solver_pp.singlestep(3),
    "flow-unipc2": UniPC(2),
    "flow-unipc3": UniPC(3),
    "flow-deis3": deis.log_rho(3),
    "flow-lms4": adams.lms(4, frames.FLOW),
    "flow-euler-ancestral": euler.euler_ancestral_flow(),
    "flow-sde-dpm++2m": dpm_solver_pp.sde(2),
    "flow-sde-dpm++3m": dpm_solver_pp.sde(3),
    "flow-sa-solver": SASolver(),
    "flow-renoise": consistency.renoise,
}
_ADAPTIVE = ("dpm-adaptive", "dpm-fast", "dpm-solver-12", "dpm-solver-23", "rk45", "flow-rk45")


def flow_table(sampler: str, sigmas: Sequence[float]) -> StepTable:
    """The step table of a named sampler on flow levels that fall from at most 1; the last one is where the run ends.

    Raises:
        FewstepError: an unknown sampler, or levels that do not fall.
    """
    if sampler in _ADAPTIVE:
        raise FewstepError(
            f"expected a sampler with fixed steps, found '{sampler}', whose step size depends on the latents; choose "
            "flow-dpm++3m"
        )
    if sampler not in SAMPLERS:
        raise FewstepError(
            f"expected one of the samplers {', '.join(SAMPLERS)}, found '{sampler}'; choose one of them"
        )
    names = (sampler, "flow")
    return compile_solver(SAMPLERS[sampler], flow_nodes(sigmas), prediction.flow, names, initial_scale=1.0)


def compile_table(sampler: str, steps: int, shift: float) -> StepTable:
    """The step table of a named sampler on the levels of flow_sigmas.

    Raises:
        FewstepError: an unknown sampler, steps < 1 or shift <= 0.
    """
    return flow_table(sampler, flow_sigmas(steps, shift))
