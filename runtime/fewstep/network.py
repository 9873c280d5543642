"""A component as a function of named arrays: a graph in an engine, or its torch original when they are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

Feeds = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Feeds], Mapping[str, npt.NDArray[Any]]]
"""Inputs by name -> outputs by name."""


@dataclass(frozen=True)
class Network:
    """A component that is given whatever there is, and takes the inputs that it has."""

    inputs: frozenset[str]
    run: Run

    def __call__(self, feeds: Feeds) -> Mapping[str, npt.NDArray[Any]]:
        """The outputs by name.

        Raises:
            KeyError: an input is not among the feeds.
        """
        return self.run({name: feeds[name] for name in self.inputs})
