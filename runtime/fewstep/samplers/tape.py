"""From a sampler, written as its paper writes it, to a step table.

A sampler is a function of a tape and of the nodes of a schedule; it computes latents with arrays. Here the arrays are
coefficient vectors on (initial latents, every network output, every noise): the tape runs the sampler once on unit
vectors, and the latents x_0 .. x_N that it asked the network about, and returned, come out as rows of coefficients.

Which arrays must a runtime keep between evaluation i and i + 1? Whatever is still needed lies in the *forecasts*, the
parts of x_{i+1}, x_{i+2}, ... that are known by then. Their rank is the least number of arrays (the rank of the Hankel
matrix of the sampler); the first independent forecasts are the ones kept, the latents x_{i+1} themselves first.
A row of the table then mostly says "s_k becomes s_{k+1} plus so much of the output".
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep.samplers.node import Node
from fewstep.samplers.prediction import Conversion, Prediction
from fewstep.step_table import Matrix, StepRow, StepTable

Value = npt.NDArray[np.float64]
"""What a sampler computes with: coefficients on (initial latents, m_0, n_0, m_1, n_1, ...)."""
_WINDOW = 20  # forecasts looked at; a Runge-Kutta warm-up of PNDM is the longest memory, 13 evaluations
_INDEPENDENT = (
    1e-11  # of a unit vector; rounding leaves at most 1e-12, real forecasts are 1e-10 apart and more
)
_ROUNDING = 1e-14  # of the latents; a coefficient that is smaller is nothing


class Tape:
    """Stands for the network and the noise while a sampler is compiled.

    `tape(x, node)` evaluates the network on x and gives (D, E); `tape.output` is the raw output of that evaluation,
    `tape.noise()` its noise, the same each time it is asked.
    """

    def __init__(self, prediction: Prediction, evaluations: int) -> None:
        self.initial = _unit(0, 1 + 2 * evaluations)
        self.latents: list[Value] = []
        self.nodes: list[Node] = []
        self.conversions: list[Conversion] = []
        self._prediction = prediction

    def __call__(self, x: Value, node: Node) -> tuple[Value, Value]:
        """The estimates (D, E) of the clean latents and of the noise from one evaluation of the network at a node."""
        conversion = a, b, c, d = self._prediction(node)
        self.latents.append(x)
        self.nodes.append(node)
        self.conversions.append(conversion)
        return a * x + b * self.output, c * x + d * self.output

    @property
    def output(self) -> Value:
        """The raw output of the last evaluation."""
        return _unit(2 * len(self.latents) - 1, len(self.initial))

    def noise(self) -> Value:
        """The unit normal noise that belongs to the last evaluation."""
        return _unit(2 * len(self.latents), len(self.initial))


Solver = Callable[[Tape, Sequence[Node]], Value]
"""Runs a sampler over nodes, from the noisiest to the last level, and returns the final latents."""


def compile_solver(
    solver: Solver,
    nodes: Sequence[Node],
    prediction: Prediction,
    names: tuple[str, str],
    initial_scale: float | None = None,
) -> StepTable:
    """The step table of a sampler on the nodes of a schedule.

    Args:
        solver: the sampler.
        nodes: from the noisiest level to the last one, at which the network is not evaluated.
        prediction: what the network predicts.
        names: of the sampler and of the prediction, for the table.
        initial_scale: factor on the initial noise; None takes sigma of the first node.

    Raises:
        FewstepError: fewer than two nodes, or levels at which the sampler is not finite.
    """
    if len(nodes) < 2:
        raise FewstepError(f"expected at least 2 noise levels, found {len(nodes)}; give first and last level")
    tape, latents = _recorded(solver, nodes, prediction)
    if not np.isfinite(latents).all():
        raise FewstepError(
            f"expected finite coefficients, found NaN or infinity, from {names[0]} at these noise levels; "
            "choose other levels"
        )
    rows = _rows(tape, _realise(latents))
    scale = nodes[0].sigma if initial_scale is None else initial_scale
    return StepTable(names[0], names[1], scale, rows)


def _recorded(solver: Solver, nodes: Sequence[Node], prediction: Prediction) -> tuple[Tape, Value]:
    """The tape after the sampler ran on it, and x_0 .. x_N (N + 1, 1 + 2 N); NaN where its formulas divide by 0."""
    with np.errstate(all="ignore"):
        try:
            count = Tape(prediction, 0)
            solver(count, nodes)
            tape = Tape(prediction, len(count.latents))
            last = solver(tape, nodes)
        except (
            ArithmeticError,
            ValueError,
        ):  # of floats: two equal levels, a root or a logarithm of a negative number
            return count, np.full(1, np.nan)
    return tape, np.stack([*tape.latents, last])


Step = tuple[Value, Value, Value]
"""(state (q, r), output (q,), noise (q,)) of one row."""


def _realise(latents: Value) -> list[Step]:
    """The state form of x_0 .. x_N (N + 1, 1 + 2 N) with the fewest kept arrays, see the top of the file."""
    steps: list[Step] = []
    kept = np.array([0])
    for i in range(len(latents) - 1):
        known = 1 + 2 * i  # columns before evaluation i
        forecasts = latents[i + 1 : i + 1 + _WINDOW, : known + 2]
        chosen = _independent(forecasts, np.linalg.norm(latents[i + 1 : i + 1 + _WINDOW], axis=1))
        new = forecasts[chosen]
        state = _express(new[:, :known], i + 1 + chosen, latents[kept, :known], kept)
        steps.append((state, new[:, known], new[:, known + 1]))
        kept = i + 1 + chosen
    return steps


def _independent(rows: Value, sizes: Value) -> npt.NDArray[np.intp]:
    """The indices of the first rows that are no combination of rows before them; row 0 always counts.

    `sizes` are the norms of the whole latents, of which the rows are a part: what is below their rounding is nothing.
    """
    basis: list[Value] = []
    chosen = []
    for index, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        norm = float(np.linalg.norm(row))
        rest = row / norm if norm else row
        for _ in range(2):  # twice is enough (Kahan) against rounding
            for direction in basis:
                rest = rest - (direction @ rest) * direction
        left = float(np.linalg.norm(rest))
        new = left > _INDEPENDENT and left * norm > _ROUNDING * size
        if index == 0 or new:
            chosen.append(index)
        if new:
            basis.append(rest / left)
    return np.array(chosen)


def _express(rows: Value, indices: npt.NDArray[np.intp], basis: Value, kept: npt.NDArray[np.intp]) -> Value:
    """Coefficients (q, r) of rows on the kept forecasts; a forecast that is itself kept is taken as it is."""
    state = np.zeros((len(rows), len(basis)))
    scale = np.linalg.norm(basis, axis=1)
    scale[scale == 0] = 1.0
    for k, index in enumerate(indices):
        if index in kept:
            state[k, int(np.flatnonzero(kept == index)[0])] = 1.0
        else:
            found = np.linalg.lstsq((basis / scale[:, None]).T, rows[k], rcond=None)[0]
            found[np.abs(found) < _ROUNDING * np.linalg.norm(rows[k])] = 0.0
            state[k] = found / scale
    return state


def _rows(tape: Tape, steps: Sequence[Step]) -> tuple[StepRow, ...]:
    entries = _entries(tape, steps)
    return tuple(
        StepRow(
            timestep=float(node.timestep),
            input_scale=float(node.input_scale),
            data=(float(a), float(b)),
            entry=_matrix(entry),  # type: ignore[arg-type] # pairs
            state=_matrix(state),
            output=tuple(map(float, output)),
            noise=tuple(map(float, noise)) if noise.any() else (),
        )
        for node, (a, b, _, _), entry, (state, output, noise) in zip(
            tape.nodes, tape.conversions, entries, steps, strict=True
        )
    )


def _entries(tape: Tape, steps: Sequence[Step]) -> list[Value]:
    """What every kept array is before row i, (r, 2) on (x0, unit noise), if the network always finds the clean x0.

    The arrays are carried on (x0, all noises drawn so far); e is then the noise in the latents, and of a forecast its
    part along e counts (the rest, from other draws, is its own and has mean 0).
    """
    drawn = [i for i, (_, _, noise) in enumerate(steps) if noise.any()]
    carried = np.zeros((1, 2 + len(drawn)))
    carried[0, :2] = tape.nodes[0].alpha, tape.nodes[0].sigma
    entries = []
    for i, (state, output, noise) in enumerate(steps):
        level = float(np.linalg.norm(carried[0, 1:]))
        along = carried[:, 1:] @ carried[0, 1:] / level if level else np.zeros(len(carried))
        entries.append(np.stack([carried[:, 0], along], axis=1))
        a, b, _, _ = tape.conversions[i]
        m = -a * carried[0]
        m[0] += 1.0
        carried = state @ carried + (np.outer(output, m / b) if b else 0.0)
        if noise.any():
            carried[:, 2 + drawn.index(i)] += noise
    return entries


def _matrix(values: Value) -> Matrix:
    return tuple(tuple(map(float, line)) for line in values)


def _unit(index: int, size: int) -> Value:
    vector = np.zeros(size)
    if index < size:
        vector[index] = 1.0
    return vector
