"""The loop around a graph that holds a whole step: the table's row is one of its inputs, the kept arrays go round.

Such a graph computes ``s'_k = output[k] m + sum_j state[k][j] s_j + noise[k] n`` itself, guidance included, so that the latents
never leave the engine's memory and a host has nothing to compute.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from fewstep.loop import Array, Noise
from fewstep.noise import INITIAL_STREAM
from fewstep.step_table import StepRow, StepTable

Step = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""One call of the graph: ``row``, ``state_k`` and, if stochastic, ``noise`` -> ``next_k``; the caller adds the text."""


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
    """Yields (i, latents) after every row i of the table, like `fewstep.loop.run`.

    Args:
        table: needs at most `buffers` arrays.
        noise: see `fewstep.loop.Noise`.
        step: the graph.
        buffers: arrays that the graph keeps.
        stochastic: whether the graph has an input for noise.
        guidance: scale, for a graph with guidance inside.
    """
    initial = noise(INITIAL_STREAM)
    state = [np.zeros_like(initial) for _ in range(buffers)]
    state[0] = initial * np.float32(table.initial_scale)
    silence = np.zeros_like(initial)
    for i, row in enumerate(table.rows):
        feeds = {"row": pack_row(row, buffers, guidance), **{f"state_{k}": s for k, s in enumerate(state)}}
        if stochastic:
            feeds["noise"] = noise(i + 1) if any(row.noise) else silence
        after = step(feeds)
        state = [after[f"next_{k}"] for k in range(buffers)]
        yield i, state[0]
