"""PNDM and PLMS (Liu et al. 2022) as diffusers runs them for Stable Diffusion 1: see `adams` for the weights.

The network is evaluated at `asked[i]`; a step goes from level[i][0] to level[i][1], which need not be where it was asked:
diffusers counts levels back by T // N from the timestep. The weights are put on raw outputs m, and the mixture is turned
into E with the latents of the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.samplers.adams import mixed, transfer
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import Prediction
from fewstep.samplers.tape import Solver, Tape, Value


@dataclass(frozen=True)
class Evaluation:
    """Where the network is asked, and from where to where the step goes."""

    asked: Node
    here: Node
    there: Node


@dataclass(frozen=True)
class PNDM:
    """PLMS after a warm-up: of 12 Runge-Kutta evaluations (the paper), or of one corrected Euler step (skip_prk_steps).

    Args:
        warm_up: the Runge-Kutta evaluations, four a step; none with the Euler step.
        steps: the evaluations of PLMS; without Runge-Kutta the second repeats the first step from its start.
        prediction: of the network, with which mixed outputs become E.
    """

    warm_up: tuple[Evaluation, ...]
    steps: tuple[Evaluation, ...]
    prediction: Prediction

    def __call__(self, tape: Tape, nodes: Sequence[Node]) -> Value:
        """The final latents; see `fewstep.samplers.tape`."""
        del nodes  # the evaluations say more
        x, history = self._runge_kutta(tape)
        anchor = x
        for i, step in enumerate(self.steps):
            tape(x, step.asked)
            if not self.warm_up and i == 1:
                x = self._transfer(anchor, (tape.output + history[0]) / 2, step)
                continue
            history.insert(0, tape.output)
            del history[4:]
            x = self._transfer(x, mixed(history), step)
        return x

    def _runge_kutta(self, tape: Tape) -> tuple[Value, list[Value]]:
        x = tape.initial
        history: list[Value] = []
        anchor, total = x, x * 0.0
        for i, step in enumerate(self.warm_up):
            tape(x, step.asked)
            m = tape.output
            if i % 4 == 0:
                history.insert(0, m)
                anchor, total = x, x * 0.0
            total = total + m * (1 / 6 if i % 4 in (0, 3) else 1 / 3)
            x = self._transfer(anchor, total if i % 4 == 3 else m, step)
        return x, history

    def _transfer(self, x: Value, m: Value, step: Evaluation) -> Value:
        _, _, c, d = self.prediction(step.here)
        return transfer(x, c * x + d * m, step.here, step.there)


def plms(prediction: Prediction) -> Solver:
    """PLMS on any nodes: one evaluation a step, and one more with which the first step is corrected. Order 2, four arrays."""

    def solve(tape: Tape, nodes: Sequence[Node]) -> Value:
        steps = [Evaluation(here, here, there) for here, there in pairwise(nodes)]
        if len(steps) > 1:
            steps.insert(1, Evaluation(nodes[1], nodes[0], nodes[1]))
        return PNDM((), tuple(steps), prediction)(tape, nodes)

    return solve
