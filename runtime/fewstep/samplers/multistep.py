"""Linear multistep solvers in exponential form: DPM-Solver(++) 2M and 3M, their SDE forms, DEIS in log rho.

    data form   x' = (sigma'/sigma) q^(r-1) x + alpha' sum_k c_k D_k + sigma' sqrt(1 - q^(2 (r-1))) n
    noise form  x' = (alpha'/alpha) x - sigma' sum_k c_k E_k

with q = e^-h = (alpha sigma') / (alpha' sigma), rate r and weights c of `fewstep.samplers.exponential`. Where h is infinite
(sigma' = 0, or alpha = 0 at the start of flow and zero-terminal-SNR schedules) the step is of first order, written without
a logarithm; a node at infinity has weight 0 and is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.samplers.exponential import Weights, exact
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Tape, Value


@dataclass(frozen=True)
class Multistep:
    """A solver of the family.

    Args:
        order: how many values the polynomial goes through.
        weights: of the values.
        rate: r of the data form, 1 for the ODE and 2 for the SDE.
        noise_form: integrate E rather than D.
        last_orders: the highest orders of the last steps, like (2, 1): second order, then first.
    """

    order: int = 2
    weights: Weights = exact
    rate: float = 1.0
    noise_form: bool = False
    last_orders: tuple[int, ...] = ()

    def __call__(self, tape: Tape, nodes: Sequence[Node]) -> Value:
        """The final latents; see `fewstep.samplers.tape`."""
        x = tape.initial
        history: list[tuple[Node, Value]] = []
        steps = len(nodes) - 1
        for i, (here, there) in enumerate(pairwise(nodes)):
            data, noise = tape(x, here)
            history.insert(0, (here, noise if self.noise_form else data))
            left = steps - i
            order = min(self.order, self.last_orders[-left] if left <= len(self.last_orders) else self.order)
            if self.noise_form and math.isfinite(here.lam) and math.isfinite(there.lam):
                x = noise_step(x, history[:order], there, self.weights, self.rate)
                if self.rate == 2:
                    grow = math.expm1(2 * (there.lam - here.lam))
                    x = x + there.sigma * math.sqrt(max(0.0, grow)) * tape.noise()
                continue
            values = [(here, data)] if self.noise_form else history[:order]
            x = data_step(x, values, there, self.weights, 1.0 if self.noise_form else self.rate)
            if amount := noise_amount(here, there, self.rate):
                x = x + amount * tape.noise()
        return x


def data_step(
    x: Value, history: Sequence[tuple[Node, Value]], there: Node, weights: Weights, rate: float
) -> Value:
    """The data form without its noise, from the newest node of the history (newest first) to `there`."""
    here, newest = history[0]
    q = decay(here, there)
    kept: float = there.sigma / here.sigma * q ** (rate - 1)
    if not (math.isfinite(here.lam) and math.isfinite(there.lam)):
        gained: float = there.alpha * (1 - q**rate)
        return kept * x + gained * newest
    nodes, values = finite(history)
    c = weights(nodes, there.lam - here.lam, rate)
    x = kept * x
    for weight, value in zip(c, values, strict=True):
        x = x + there.alpha * weight * value
    return x


def noise_step(
    x: Value, history: Sequence[tuple[Node, Value]], there: Node, weights: Weights, rate: float = 1.0
) -> Value:
    """The noise form from the newest node of the history (newest first) to `there`; `rate` 2 doubles the score."""
    here, _ = history[0]
    nodes, values = finite(history)
    c = weights(nodes, there.lam - here.lam, -1.0)  # minus the moments of e^(h - u)
    x = there.alpha / here.alpha * x
    for weight, value in zip(c, values, strict=True):
        x = x + rate * there.sigma * weight * value
    return x


def noise_amount(here: Node, there: Node, rate: float) -> float:
    """Sigma' sqrt(1 - q^(2 (r - 1))), the standard deviation of the noise of a step; 0 between equal levels."""
    return (
        there.sigma * math.sqrt(max(0.0, 1 - decay(here, there) ** (2 * (rate - 1)))) if there.sigma else 0.0
    )


def decay(here: Node, there: Node) -> float:
    """Q = e^-h, finite for every pair of levels."""
    return here.alpha * there.sigma / (there.alpha * here.sigma)


def finite(history: Sequence[tuple[Node, Value]]) -> tuple[list[float], list[Value]]:
    """The nodes relative to the newest, and the values, without those at an infinite lambda."""
    newest = history[0][0].lam
    kept = [(node.lam - newest, value) for node, value in history if math.isfinite(node.lam)]
    return [u for u, _ in kept], [value for _, value in kept]
