"""Variables in which the probability-flow ODE reads dy/dz = slope: there classical methods for ODEs apply.

rho    y = x / alpha,            z = sigma / alpha,            dy/dz = E                        (Karras et al. 2022; alpha > 0)
flow   y = x / (alpha + sigma),  z = sigma / (alpha + sigma),  dy/dz = E - D                    (rectified flow; every level)
time   y = x,                    z = t,                        dy/dz = (E / sigma - x) beta / 2  (Song et al. 2021b, VP)

The first two have no drift: there Euler's method is DDIM. The third keeps that of the SDE and pays for it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fewstep.samplers.node import Node
from fewstep.samplers.tape import Tape, Value


@dataclass(frozen=True)
class Frame:
    """x = scale(node) y and z(node), with the slope dy/dz at a node of the estimates D and E."""

    scale: Callable[[Node], float]
    z: Callable[[Node], float]
    slope: Callable[[Node, Value, Value], Value]

    def evaluate(self, tape: Tape, y: Value, node: Node) -> Value:
        """The slope at y, for one evaluation of the network."""
        data, noise = tape(self.scale(node) * y, node)
        return self.slope(node, data, noise)


RHO = Frame(lambda node: node.alpha, lambda node: node.sigma / node.alpha, lambda node, data, noise: noise)
FLOW = Frame(
    lambda node: node.alpha + node.sigma,
    lambda node: node.sigma / (node.alpha + node.sigma),
    lambda node, data, noise: noise - data,
)


def vp_time(beta: Callable[[float], float]) -> Frame:
    """The time of a variance-preserving SDE with beta(t), for nodes whose timestep is t (`score_sde.vp_nodes`)."""

    def slope(node: Node, data: Value, noise: Value) -> Value:
        x = node.alpha * data + node.sigma * noise
        return beta(node.timestep) / 2 * (noise / node.sigma - x)

    return Frame(lambda node: 1.0, lambda node: node.timestep, slope)
