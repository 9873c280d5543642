"""Samplers, compiled in float64 to step tables. A sampler is a function of a tape and nodes, see `fewstep.samplers.tape`."""

from fewstep.samplers.diffusers import from_diffusers
from fewstep.samplers.named import SAMPLERS, compile_table, flow_table
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.flow import TIMESTEPS, flow_sigmas
from fewstep.samplers.tape import Solver, Tape, compile_solver

__all__ = [
    "SAMPLERS",
    "TIMESTEPS",
    "Node",
    "Solver",
    "Tape",
    "compile_solver",
    "compile_table",
    "flow_sigmas",
    "flow_table",
    "from_diffusers",
]
