"""Engines: what runs a compiled graph on the device. One engine a file; it is imported when it is used."""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep.loop import Noise
from fewstep.manifest import TensorSpec
from fewstep.step_table import StepTable

OPENVINO = "openvino"
"""The engine that takes the graphs of ONNX Runtime, where it is asked for."""
Tensors = Mapping[str, npt.NDArray[np.generic]]


class Engine(Protocol):
    """A loaded graph."""

    @property
    def seconds(self) -> float:
        """Time that the last run of this thread spent inside the graph."""
        ...

    def run(self, feeds: Tensors) -> dict[str, npt.NDArray[np.float32]]:
        """The outputs by name; FewstepError if an input is missing, has another dtype or another shape."""
        ...

    def write(self, feeds: Tensors, outputs: Tensors) -> None:
        """Like `run`, with the outputs written into the caller's arrays, so that nothing is copied in or out.

        Raises:
            FewstepError: an array is missing, has another dtype or another shape, or is not contiguous.
        """
        ...


@runtime_checkable
class LoopEngine(Engine, Protocol):
    """A loaded graph of one row of a step table whose engine can run them all by itself."""

    def loop(
        self, table: StepTable, noise: Noise, conditions: Tensors, guidance: float
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yields (i, latents) after row i, of the last row at least; see `fewstep.fused.run_fused`."""
        ...


def check_tensors(tensors: Tensors, specs: tuple[TensorSpec, ...], where: str) -> None:
    """Refuses tensors that are not those of the specification.

    Raises:
        FewstepError: a name, a dtype, a rank or a fixed dimension differs; `where` says whose tensors these are.
    """
    if len(tensors) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise FewstepError(f"expected the tensors {names}, found {', '.join(tensors) or 'none'}, in {where}")
    for spec in specs:
        if spec.name not in tensors:
            raise FewstepError(f"expected the tensor '{spec.name}', found {', '.join(tensors)}, in {where}")
        array = tensors[spec.name]
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(dim, str) or dim == size for dim, size in zip(spec.shape, array.shape, strict=True)
        )
        if array.dtype.name != spec.dtype or not fits:
            expected, found = f"{spec.dtype} {list(spec.shape)}", f"{array.dtype.name} {list(array.shape)}"
            raise FewstepError(f"expected {expected}, found {found}, for tensor '{spec.name}' of {where}")
