"""The sampling loop: every sampler, as data.

This function is the same in every language of the project; whatever differs between samplers stands in the table.
Every product and every sum is rounded to float32 in the order written here, so that two languages agree to the bit
as far as their networks do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep.noise import INITIAL_STREAM
from fewstep.step_table import StepRow, StepTable

Array = npt.NDArray[np.float32]
Noise = Callable[[int], Array]
"""stream -> unit normal noise (B, C, h, w) float32: stream 0 begins the run, stream i + 1 belongs to row i."""
Model = Callable[[Array, float], Array]
"""(scaled latents (B, C, h, w) float32, timestep) -> network output of the same shape; guidance is inside it."""


@dataclass(frozen=True)
class Edit:
    """A picture to begin from, and which part of it to keep.

    Args:
        image: clean latents (B, C, h, w) float32.
        strength: the part of the rows that is run, above 0 and at most 1: 1 redraws, a small one retouches.
        mask: 1 where to draw and 0 where to keep the image, of a shape that broadcasts to the image; None draws all.
    """

    image: Array
    strength: float = 1.0
    mask: Array | None = None

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise FewstepError(
                f"expected a strength above 0 and at most 1, found {self.strength}; a usual strength is 0.6"
            )

    def first_row(self, table: StepTable) -> int:
        """The row at which the run begins; at least one row is run."""
        return len(table.rows) - max(1, int(len(table.rows) * self.strength))


def run(
    table: StepTable, noise: Noise, model: Model, edit: Edit | None = None
) -> Iterator[tuple[int, Array]]:
    """Yields (i, latents) after every row i of the table; the last latents are the sample.

    All arrays are made before the first evaluation. A yielded array, and the one the model gets, is the loop's own
    and is written again two rows later: copy what you keep, change nothing. Stop by leaving the loop.
    """
    initial = noise(INITIAL_STREAM)
    state, after = ([np.empty_like(initial) for _ in range(table.buffers)] for _ in range(2))
    scaled, scratch = np.empty_like(initial), np.empty_like(initial)
    first = 0 if edit is None else edit.first_row(table)
    if edit is None:
        np.multiply(initial, np.float32(table.initial_scale), out=state[0])
    else:
        _enter(table.rows[first], edit.image, initial, state, scratch)
    for i, row in enumerate(table.rows[first:], first):
        x = state[0]
        if row.input_scale != 1.0:
            x = np.multiply(x, np.float32(row.input_scale), out=scaled)
        m = model(x, row.timestep)
        n = noise(i + 1) if row.noise else None
        for k, coefficients in enumerate(row.state):
            np.multiply(m, np.float32(row.output[k]), out=after[k])
            for coefficient, kept in zip(coefficients, state, strict=False):
                _add(coefficient, kept, after[k], scratch)
            if n is not None:
                _add(row.noise[k], n, after[k], scratch)
        state, after = after, state
        if edit is not None and edit.mask is not None:
            _keep(table, i + 1, edit.image, edit.mask, initial, state, after, scratch)
        yield i, state[0]


def with_preview(
    table: StepTable, model: Model, on_preview: Callable[[int, Array], object], edit: Edit | None = None
) -> Model:
    """The model for one run of the table, which tells what it takes the clean latents for after every evaluation.

    Args:
        table: the one that is run.
        model: the network.
        on_preview: called with (row, predicted clean latents); the array is written again at the next evaluation.
        edit: the one that the run is given.
    """
    left = iter(range(0 if edit is None else edit.first_row(table), len(table.rows)))
    data = scratch = np.empty(0, dtype=np.float32)

    def watched(x: Array, timestep: float) -> Array:
        nonlocal data, scratch
        i = next(left)
        if data.shape != x.shape:
            data, scratch = np.empty_like(x), np.empty_like(x)
        m, (a, b) = model(x, timestep), table.rows[i].data
        np.multiply(m, np.float32(b), out=data)
        _add(a / table.rows[i].input_scale, x, data, scratch)
        on_preview(i, data)
        return m

    return watched


def _add(coefficient: float, array: Array, out: Array, scratch: Array) -> None:
    """Adds coefficient * array to out, in float32; a product with 1 is exact and is left out, as one with 0 is."""
    if coefficient == 1.0:
        np.add(out, array, out=out)
    elif coefficient:
        np.multiply(array, np.float32(coefficient), out=scratch)
        np.add(out, scratch, out=out)


def _enter(row: StepRow, image: Array, noise: Array, out: Sequence[Array], scratch: Array) -> None:
    """Sets every kept array to what it would be before the row had the network known the image."""
    for kept, (u, v) in zip(out, row.entry, strict=False):
        np.multiply(image, np.float32(u), out=kept)
        _add(v, noise, kept, scratch)


def _keep(
    table: StepTable,
    row: int,
    image: Array,
    mask: Array,
    noise: Array,
    state: Sequence[Array],
    known: Sequence[Array],
    scratch: Array,
) -> None:
    """Puts the image, at the noise level before that row (clean after the last), where the mask is 0; `known` is scratch."""
    if row == len(table.rows):
        np.copyto(known[0], image)
        kept = 1
    else:
        _enter(table.rows[row], image, noise, known, scratch)
        kept = len(table.rows[row].entry)
    for drawn, old in zip(state[:kept], known, strict=False):
        np.subtract(drawn, old, out=drawn)
        np.multiply(drawn, mask, out=drawn)
        np.add(drawn, old, out=drawn)
