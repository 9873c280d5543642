"""The sampling loop: every sampler, as data.

This function is the same in every language of the project; whatever differs between samplers stands in the table.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from fewstep.noise import INITIAL_STREAM
from fewstep.step_table import StepTable

Array = npt.NDArray[np.float32]
Noise = Callable[[int], Array]
"""stream -> unit normal noise (B, C, h, w) float32: stream 0 begins the run, stream i + 1 belongs to row i."""
Model = Callable[[Array, float], Array]
"""(scaled latents (B, C, h, w) float32, timestep) -> network output of the same shape; guidance is inside it."""


def run(table: StepTable, noise: Noise, model: Model) -> Iterator[tuple[int, Array]]:
    """Yields (i, x_{i+1}) after every row i of the table; the last latents are the sample.

    All arrays are made before the first evaluation. A yielded array is the loop's own and is written again
    a few rows later: copy what you keep, change nothing. Stop by leaving the loop.
    """
    x = noise(INITIAL_STREAM) * np.float32(table.initial_scale)
    scaled, scratch = np.empty_like(x), np.empty_like(x)
    latents = deque([x, *(np.empty_like(x) for _ in range(table.latent_buffers))])
    outputs = deque(np.empty_like(x) for _ in range(table.output_buffers))
    for i, row in enumerate(table.rows):
        np.multiply(latents[0], np.float32(row.input_scale), out=scaled)
        m = model(scaled, row.timestep)
        outputs.rotate(1)
        _combine(row.convert, (latents[0], m), outputs[0], scratch)
        x = latents.pop()  # the oldest, which no row still needs, takes the new latents
        kept = (*islice(latents, len(row.latent)), *islice(outputs, len(row.output)))
        _combine((*row.latent, *row.output), kept, x, scratch)
        if row.noise:
            _add(row.noise, noise(i + 1), x, scratch)
        latents.appendleft(x)
        yield i, x


def _combine(coefficients: Iterable[float], arrays: Iterable[Array], out: Array, scratch: Array) -> None:
    """Sets out = sum_k coefficients[k] arrays[k] in float32, in the order given; `out` is none of the arrays."""
    out.fill(0.0)
    for coefficient, array in zip(coefficients, arrays, strict=True):
        _add(coefficient, array, out, scratch)


def _add(coefficient: float, array: Array, out: Array, scratch: Array) -> None:
    np.multiply(array, np.float32(coefficient), out=scratch)
    np.add(out, scratch, out=out)
