"""UniPC (Zhao et al. 2023): a predictor and a corrector that share evaluations. UniP-2 with B_2 is DPM-Solver++ 2M.

At node i the network is asked at the predicted x_i; its output first corrects the step that led there, then predicts
the next one from the corrected y_i. The kept arrays are order + 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers.exponential import exact
from fewstep.samplers.multistep import data_step
from fewstep.samplers.node import Node
from fewstep.samplers.tape import Tape, Value


@dataclass(frozen=True)
class UniPC:
    """A solver of the family.

    Args:
        order: of the predictor; the corrector adds one.
        variant: B(h) = h ("bh1") or e^h - 1 ("bh2"), which is better with few steps.
        noise_form: integrate E rather than D.
        lower_order_final: let the order fall towards the last step.
        uncorrected: evaluations whose step is not corrected.
    """

    order: int = 2
    variant: Literal["bh1", "bh2"] = "bh2"
    noise_form: bool = False
    lower_order_final: bool = True
    uncorrected: frozenset[int] = frozenset()

    def __call__(self, tape: Tape, nodes: Sequence[Node]) -> Value:
        """The final latents; see `fewstep.samplers.tape`."""
        x, anchor, order = tape.initial, tape.initial, 0
        history: list[tuple[Node, Value]] = []
        steps = len(nodes) - 1
        for i, (here, there) in enumerate(pairwise(nodes)):
            data, noise = tape(x, here)
            value = noise if self.noise_form else data
            if i and i - 1 not in self.uncorrected and math.isfinite(history[0][0].lam):
                x = self._step(anchor, history[:order], here, value)
            history.insert(0, (here, value))
            order = min(self.order, i + 1, steps - i if self.lower_order_final else self.order)
            anchor = x
            x = self._predict(x, data, history[:order], there)
        return x

    def _predict(self, x: Value, data: Value, history: Sequence[tuple[Node, Value]], there: Node) -> Value:
        here = history[0][0]
        if math.isfinite(here.lam) and math.isfinite(there.lam):
            return self._step(x, history, there, None)
        if len(history) > 1 and math.isfinite(here.lam):
            raise FewstepError(
                f"expected a last step of order 1 where it ends at sigma 0, found order {len(history)}, in UniPC; "
                "turn on lower_order_final or end above 0"
            )
        return data_step(x, [(here, data)], there, exact, 1.0)

    def _step(
        self, x: Value, history: Sequence[tuple[Node, Value]], there: Node, corrected: Value | None
    ) -> Value:
        """The predictor from the newest node to `there`, or the corrector if the value at `there` is given."""
        (here, newest), older = history[0], [(n, v) for n, v in history[1:] if math.isfinite(n.lam)]
        h = there.lam - here.lam
        signed = h if self.noise_form else -h
        grow = math.expm1(signed)
        scale = signed if self.variant == "bh1" else grow
        ratios = [(node.lam - here.lam) / h for node, _ in older]
        values = [(value - newest) / r for r, (_, value) in zip(ratios, older, strict=True)]
        if corrected is not None:
            ratios, values = [*ratios, 1.0], [*values, corrected - newest]
        before, after = (
            (here.alpha, there.alpha) if self.noise_form else (here.sigma, there.sigma)
        )  # what the linear part scales with
        weight = there.sigma if self.noise_form else there.alpha
        x = after / before * x - weight * grow * newest
        for c, value in zip(_weights(ratios, signed, scale), values, strict=True):
            x = x - weight * scale * c * value
        return x


def _weights(ratios: Sequence[float], signed: float, scale: float) -> list[float]:
    """A of sum_k a_k r_k^(j-1) = j! phi_{j+1} / B (eq. 6), or 1/2 for one value (as all implementations have it)."""
    if len(ratios) < 2:
        return [0.5] * len(ratios)
    phi, factorial, right = math.expm1(signed) / signed - 1, 1.0, []
    for j in range(1, len(ratios) + 1):
        right.append(phi * factorial / scale)
        factorial *= j + 1
        phi = phi / signed - 1 / factorial
    matrix = np.array([[r**j for r in ratios] for j in range(len(ratios))])
    return [float(a) for a in np.linalg.solve(matrix, np.array(right))]
