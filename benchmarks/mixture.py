"""The problem on which samplers are compared: half N(-1, 0.3^2), half N(1, 0.3^2), with its exact denoiser.

Every coordinate is independent, so the probability-flow ODE is one scalar equation: it is solved once, finely.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fewstep.samplers import Solver, compile_solver, prediction
from fewstep.samplers.node import Node

Array = npt.NDArray[np.float64]
STD = 0.3


def denoise(x: Array, alpha: float, sigma: float) -> Array:
    """E[x0 | x] for x = alpha x0 + sigma eps."""
    variance = (alpha * STD) ** 2 + sigma**2
    weight = np.tanh(alpha * x / variance)
    found: Array = weight + (alpha * STD**2 / variance) * (x - alpha * weight)
    return found


class Compiled:
    """A table of a solver on nodes, for a network that predicts x0, with the node of every row."""

    def __init__(self, solver: Solver, nodes: Sequence[Node]) -> None:
        asked: list[Node] = []

        def predicted(node: Node) -> prediction.Conversion:
            asked.append(node)
            return prediction.sample(node)

        self.table = compile_solver(solver, nodes, predicted, ("mixture", "sample"))
        self.nodes = asked[-len(self.table.rows) :]  # a solver is run twice: to count, then to compile

    def __call__(self, initial: Array, draw: Callable[[], Array] | None = None) -> Array:
        """The final latents in float64, as `fewstep.loop` runs them in float32."""
        state = [initial]
        for row, node in zip(self.table.rows, self.nodes, strict=True):
            m = denoise(state[0], node.alpha, node.sigma)
            n = draw() if row.noise and draw else np.zeros_like(initial)
            drawn = row.noise or (0.0,) * len(row.output)
            state = [
                sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
                for line, b, k in zip(row.state, row.output, drawn, strict=True)
            ]
        return state[0]


def exact(initial: Array, start: Node, end: Node, steps: int = 4000) -> Array:
    """The end of the probability-flow ODE: RK4 in log rho on y = x / alpha, dy/dlog rho = y - D; error below 1e-12."""
    y = initial / start.alpha
    logs = np.linspace(np.log(start.rho), np.log(end.rho), steps + 1)
    h = logs[1] - logs[0]

    def slope(y: Array, log: float) -> Array:
        return y - denoise(y, 1.0, float(np.exp(log)))

    for log in logs[:-1]:
        k_1 = slope(y, log)
        k_2 = slope(y + h / 2 * k_1, log + h / 2)
        k_3 = slope(y + h / 2 * k_2, log + h / 2)
        k_4 = slope(y + h * k_3, log + h)
        y = y + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    found: Array = end.alpha * y
    return found
