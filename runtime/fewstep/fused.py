"""The loop around a graph that holds a whole step: the table's row is one of its inputs, the kept arrays go round.

Such a graph computes ``s'_k = output[k] m + sum_j state[k][j] s_j + noise[k] n`` itself, guidance included. The kept arrays lie
in two sets of buffers that swap their roles at every row: what one call writes the next one reads, and nothing is copied between.
"""

from collections.abc import Callable, Iterator

import numpy as np

from fewstep.errors import FewstepError
from fewstep.loop import Array, Noise
from fewstep.network import Feeds
from fewstep.noise import INITIAL_STREAM
from fewstep.step_table import StepRow, StepTable

Step = Callable[[Feeds, Feeds], None]
"""One call of the graph: (``row``, ``state_k`` and, if stochastic, ``noise``; arrays for ``next_k``); the caller adds the text."""


def row_size(buffers: int) -> int:
    """Numbers in a packed row for a graph that keeps that many arrays."""
    return 3 + buffers * buffers + 2 * buffers


def pack_row(row: StepRow, buffers: int, guidance: float) -> Array:
    """A row as a float32 vector: timestep, input scale, guidance scale, `state` line by line, `output`, `noise`.

    What the row does not have is 0: arrays it does not keep yet or no more, and noise that it does not draw.
    """
    state = np.zeros((buffers, buffers), dtype=np.float32)
    output, noise = np.zeros((2, buffers), dtype=np.float32)
    state[: len(row.state), : len(row.entry)] = row.state
    output[: len(row.output)] = row.output
    noise[: len(row.noise)] = row.noise
    head = np.array([row.timestep, row.input_scale, guidance], dtype=np.float32)
    return np.concatenate([head, state.ravel(), output, noise])


def run_fused(
    table: StepTable, noise: Noise, step: Step, buffers: int, stochastic: bool, guidance: float
) -> Iterator[tuple[int, Array]]:
    """Yields (i, latents) after every row i of the table, like `fewstep.loop.run`, whose rules for yielded arrays hold here too.

    Args:
        table: what to run.
        noise: see `fewstep.loop.Noise`.
        step: the graph.
        buffers: arrays that the graph keeps.
        stochastic: whether the graph has an input for noise.
        guidance: scale, for a graph with guidance inside.

    Raises:
        FewstepError: the table keeps more arrays than the graph, or draws noise that the graph does not take.
    """
    require_fit(table, buffers, stochastic)
    initial = noise(INITIAL_STREAM)
    # Of zeros: a row does not use every array, and 0 times what happens to lie in memory may be NaN.
    state, after = ([np.zeros_like(initial) for _ in range(buffers)] for _ in range(2))
    silence = np.zeros_like(initial)
    np.multiply(initial, np.float32(table.initial_scale), out=state[0])
    for i, row in enumerate(table.rows):
        feeds = {"row": pack_row(row, buffers, guidance), **{f"state_{k}": s for k, s in enumerate(state)}}
        if stochastic:
            feeds["noise"] = noise(i + 1) if any(row.noise) else silence
        step(feeds, {f"next_{k}": s for k, s in enumerate(after)})
        state, after = after, state
        yield i, state[0]


def require_fit(table: StepTable, buffers: int, stochastic: bool) -> None:
    """Refuses a table that a graph cannot run.

    Raises:
        FewstepError: it keeps more arrays than the graph, or draws noise that the graph does not take.
    """
    if table.buffers > buffers:
        raise FewstepError(
            f"expected a step table that keeps at most {buffers} arrays, found {table.buffers}, in {table.name}; "
            "choose another sampler or a variant whose loop runs on the host"
        )
    if table.stochastic and not stochastic:
        raise FewstepError(
            f"expected a step table that draws no noise, found one that does, {table.name}; "
            "choose another sampler or a variant whose loop runs on the host"
        )
