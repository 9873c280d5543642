"""A component as a function of named arrays: a graph in an engine, or its torch original when they are compared."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fewstep.loop import Array, Noise
from fewstep.step_table import StepTable

Feeds = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Feeds], Mapping[str, npt.NDArray[Any]]]
"""Inputs by name -> outputs by name."""
Write = Callable[[Feeds, Feeds], None]
"""(inputs by name, arrays by name into which the outputs go)"""
WholeLoop = Callable[[StepTable, Noise, Feeds, float], Iterator[tuple[int, Array]]]
"""(table, noise, conditions, guidance scale) -> (i, latents) after row i, of the last row at least"""


@dataclass(frozen=True)
class Network:
    """A component that is given whatever there is, and takes the inputs that it has.

    Args:
        inputs: their names.
        run: computes the outputs.
        into: computes them in the caller's arrays; None copies what `run` gives.
        loop: runs a graph of one row over a whole table where the graph itself is; None leaves the loop to the host.
    """

    inputs: frozenset[str]
    run: Run
    into: Write | None = None
    loop: WholeLoop | None = None

    def __call__(self, feeds: Feeds) -> Mapping[str, npt.NDArray[Any]]:
        """The outputs by name.

        Raises:
            KeyError: an input is not among the feeds.
        """
        return self.run({name: feeds[name] for name in self.inputs})

    def write(self, feeds: Feeds, outputs: Feeds) -> None:
        """Like a call, with the outputs written into the given arrays.

        Raises:
            KeyError: an input is not among the feeds.
        """
        given = {name: feeds[name] for name in self.inputs}
        if self.into is not None:
            self.into(given, outputs)
            return
        for name, result in self.run(given).items():
            np.copyto(outputs[name], result)
