"""Samplers, compiled in float64 to step tables. A sampler is a function of a tape and nodes, see `fewstep.samplers.tape`."""

from collections.abc import Callable, Mapping, Sequence

from fewstep.errors import FewstepError
from fewstep.samplers import dpm_solver_pp, euler, prediction, straight
from fewstep.samplers.diffusers import from_diffusers
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.flow import TIMESTEPS, flow_nodes, flow_sigmas
from fewstep.samplers.tape import Solver, Tape, compile_solver
from fewstep.step_table import StepTable

__all__ = [
    "SAMPLERS",
    "TIMESTEPS",
    "Node",
    "Solver",
    "Tape",
    "compile_solver",
    "compile_table",
    "flow_dpm_solver_pp_2m",
    "flow_euler",
    "flow_sigmas",
    "from_diffusers",
]


def flow_euler(sigmas: Sequence[float]) -> StepTable:
    """Euler's method on the flow, x' = x + (sigma' - sigma) m; order 1. `sigmas` ends with the last level."""
    return _flow(euler.euler(straight.FLOW), sigmas, "flow-euler")


def flow_dpm_solver_pp_2m(sigmas: Sequence[float]) -> StepTable:
    """DPM-Solver++ 2M with midpoint weights on flow levels (Lu et al. 2022, algorithm 2; Sana); order 2."""
    return _flow(dpm_solver_pp.multistep(2), sigmas, "flow-dpm++2m")


def _flow(solver: Solver, sigmas: Sequence[float], name: str) -> StepTable:
    return compile_solver(solver, flow_nodes(sigmas), prediction.flow, (name, "flow"), initial_scale=1.0)


SAMPLERS: Mapping[str, Callable[[Sequence[float]], StepTable]] = {
    "flow-euler": flow_euler,
    "flow-dpm++2m": flow_dpm_solver_pp_2m,
}
"""What `--sampler` may name."""


def compile_table(sampler: str, steps: int, shift: float) -> StepTable:
    """The step table of a named sampler on the default grid of flow_sigmas.

    Raises:
        FewstepError: an unknown sampler, steps < 1 or shift <= 0.
    """
    if sampler not in SAMPLERS:
        raise FewstepError(
            f"expected one of the samplers {', '.join(SAMPLERS)}, found '{sampler}'; choose one of them"
        )
    return SAMPLERS[sampler](flow_sigmas(steps, shift))
