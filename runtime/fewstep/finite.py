"""NaN and infinity are noticed where they arise: in the output of a graph, at a step of the loop."""

from itertools import count

import numpy as np

from fewstep.errors import NonFiniteError
from fewstep.loop import Array, Model
from fewstep.network import Feeds
from fewstep.step_table import StepTable


def require_finite(outputs: Feeds, where: str) -> None:
    """Refuses outputs that are not all finite.

    Raises:
        NonFiniteError: the message names the first such output and `where` it is.
    """
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            raise NonFiniteError(f"expected finite numbers, found {_found(array)}, in '{name}' of {where}")


def step_name(table: StepTable, i: int) -> str:
    """Row i of a table in words, counted from 1."""
    return f"at step {i + 1} of {len(table.rows)} (timestep {table.rows[i].timestep:g})"


def watched(model: Model, table: StepTable) -> Model:
    """The model for one run of the table, which raises NonFiniteError at the row where its output is not finite."""
    rows = count()

    def checked(x: Array, timestep: float) -> Array:
        m = model(x, timestep)
        require_finite({"the guided output": m}, f"the denoiser {step_name(table, next(rows))}")
        return m

    return checked


def _found(array: Array) -> str:
    """How many of what, as "3 NaN and 1 infinity of 2048 numbers"."""
    counts = {"NaN": int(np.isnan(array).sum()), "infinity": int(np.isinf(array).sum())}
    return f"{' and '.join(f'{n} {name}' for name, n in counts.items() if n)} of {array.size} numbers"
