"""SA-Solver (Xue et al. 2023): stochastic Adams predictor and corrector with noise strength tau(t).

The data form of `multistep` with rate 1 + tau^2. The corrector takes the value at the new node in, and the noise of the
step it corrects again. For order 2 the authors' code replaces the exact second moment as UniPC does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.samplers.exponential import exact, moments
from fewstep.samplers.multistep import noise_amount
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Tape, Value


def middle_of_thousand(timestep: float) -> float:
    """The authors' choice: noise only at timesteps 200 to 800 of 1000."""
    return 1.0 if 200 <= timestep <= 800 else 0.0


@dataclass(frozen=True)
class SASolver:
    """A solver of the family, in the data form.

    Args:
        predictor_order: values of the predictor.
        corrector_order: values of the corrector, the new one included.
        tau: timestep -> noise strength.
        lower_order_final: let the orders fall towards the last step.
    """

    predictor_order: int = 2
    corrector_order: int = 2
    tau: Callable[[float], float] = middle_of_thousand
    lower_order_final: bool = True

    def __call__(self, tape: Tape, nodes: Sequence[Node]) -> Value:
        """The final latents; see `fewstep.samplers.tape`."""
        x = anchor = last_noise = tape.initial
        history: list[tuple[Node, Value]] = []
        corrector, steps = 0, len(nodes) - 1
        memory = max(self.predictor_order, self.corrector_order - 1)
        for i, (here, there) in enumerate(pairwise(nodes)):
            data, _ = tape(x, here)
            history.insert(0, (here, data))
            if i:
                x = self._step(anchor, history[:corrector], history[1][0], here, last_noise)
            left = steps - i if self.lower_order_final else max(self.predictor_order, self.corrector_order)
            predictor = min(self.predictor_order, left, min(i, memory) + 1)
            corrector = min(self.corrector_order, left + 1, min(i, memory) + 2)
            anchor, last_noise = x, tape.noise()
            x = self._step(x, history[:predictor], here, there, last_noise)
        return x

    def _step(
        self, x: Value, values: Sequence[tuple[Node, Value]], here: Node, there: Node, noise: Value
    ) -> Value:
        rate = 1 + self.tau(here.timestep) ** 2
        h = there.lam - here.lam
        if not math.isfinite(h):
            return there.alpha * values[0][1] + there.sigma * noise
        values = [(node, value) for node, value in values if math.isfinite(node.lam)]
        weights = exact([node.lam - here.lam for node, _ in values], h, rate)
        if len(values) == 2:  # h^2 / 2 for the kernel-weighted first moment, over the distance of the nodes
            change = rate * (h**2 / 2 - moments(h, rate, 2)[1] / rate)
            if values[0][0] is here:
                change /= here.lam - values[1][0].lam
            else:
                change /= h
            weights = [weights[0] + change, weights[1] - change]
        x = math.exp(-(rate - 1) * h) * there.sigma / here.sigma * x
        for weight, (_, value) in zip(weights, values, strict=True):
            x = x + there.alpha * weight * value
        amount = noise_amount(here, there, rate)
        return x + amount * noise if amount else x
