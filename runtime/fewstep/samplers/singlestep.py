"""Singlestep solvers in exponential form: every group of nodes begins again from its anchor.

A group of k nodes after the anchor takes k evaluations; stage j goes from the anchor to node j + 1 with the values at
the stages before it. The stages are nodes of the schedule (diffusers), so r_1 = (lambda_1 - lambda_0) / h is what the
schedule makes it; on a schedule uniform in lambda it is 1/2, or 1/3 and 2/3, as in Lu et al. (2022a).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fewstep.samplers.exponential import Weights, exact, lagrange_weights, moments
from fewstep.samplers.multistep import data_step, noise_amount, noise_step
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Tape, Value


def groups(steps: int, order: int, clean: bool) -> list[int]:
    """The sizes of the groups for so many evaluations; a run that ends at sigma = 0 ends with a step of order 1."""
    whole, rest = divmod(steps - clean, order)
    return [order] * whole + [rest] * (rest > 0) + [1] * clean


@dataclass(frozen=True)
class Singlestep:
    """A solver of the family.

    Args:
        plan: (steps, whether the run ends at sigma = 0) -> sizes of the groups, which add up to steps.
        second: the weights of order 2.
        rate: r of the data form, 1 for the ODE and 2 for the SDE.
        noise_form: integrate E rather than D.
        compat: "diffusers" for its midpoint of order 3, which leaves the first stage out; None for exact weights.
    """

    plan: Callable[[int, bool], Sequence[int]]
    second: Weights
    rate: float = 1.0
    noise_form: bool = False
    compat: str | None = None

    def __call__(self, tape: Tape, nodes: Sequence[Node]) -> Value:
        """The final latents; see `fewstep.samplers.tape`."""
        x, base = tape.initial, 0
        for size in self._sizes(nodes):
            anchor = x
            values: list[tuple[Node, Value]] = []
            for stage in range(size):
                here, there = nodes[base + stage], nodes[base + stage + 1]
                data, noise = tape(x, here)
                values.append((here, noise if self.noise_form else data))
                first = nodes[base]
                if self.noise_form and math.isfinite(first.lam) and math.isfinite(there.lam):
                    x = noise_step(anchor, values, there, self._weights)
                elif self.noise_form:
                    x = data_step(x, [(here, data)], there, exact, 1.0)
                else:
                    x = data_step(anchor, values, there, self._weights, self.rate)
                if self.rate != 1 and (amount := noise_amount(first, there, self.rate)):
                    x = x + amount * tape.noise()
            base += size
        return x

    def _sizes(self, nodes: Sequence[Node]) -> Sequence[int]:
        """The plan, after a step of order 1 where the run begins at alpha = 0, an infinite lambda."""
        steps, clean, infinite = len(nodes) - 1, nodes[-1].sigma == 0, nodes[0].alpha == 0
        if not infinite:
            return self.plan(steps, clean)
        return [1, *self.plan(steps - 1, clean)] if steps > 1 else [1]

    def _weights(self, nodes: Sequence[float], h: float, rate: float) -> list[float]:
        if len(nodes) == 3 and self.compat == "diffusers" and self.second is not exact:
            m = moments(h, rate, 2)
            first, last = lagrange_weights([0.0, nodes[2]], m)
            return [first, 0.0, last]
        return self.second(nodes, h, rate)
