"""Frames in which the probability-flow ODE has no drift, dy/dz = slope: where classical methods for ODEs apply.

rho    y = x / alpha,            z = sigma / alpha,            dy/dz = E          (Karras et al. 2022; alpha > 0)
flow   y = x / (alpha + sigma),  z = sigma / (alpha + sigma),  dy/dz = E - D      (rectified flow; every level)
"""

from collections.abc import Callable
from dataclasses import dataclass

from fewstep.samplers.node import Node
from fewstep.samplers.tape import Value


@dataclass(frozen=True)
class Frame:
    """x = scale(node) y and z(node), with the slope dy/dz of the estimates (D, E)."""

    scale: Callable[[Node], float]
    z: Callable[[Node], float]
    slope: Callable[[Value, Value], Value]


RHO = Frame(lambda node: node.alpha, lambda node: node.sigma / node.alpha, lambda data, noise: noise)
FLOW = Frame(
    lambda node: node.alpha + node.sigma,
    lambda node: node.sigma / (node.alpha + node.sigma),
    lambda data, noise: noise - data,
)
