"""Memory for the tensors of an engine, and their shapes at a batch and a size of latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy.typing as npt

from fewstep.engines.cuda import Cuda
from fewstep.errors import BundleError
from fewstep.sizes import side_length
from fewstep.variant import Component, Dim, TensorSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Extent:
    """What is free in the shapes of a run: the batch and, for graphs of many sizes, height and width of the latents (1 where fixed)."""

    batch: int
    height: int = 1
    width: int = 1

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


class Buffers:
    """Memory for every tensor at the largest extent, on the GPU and pinned on the host."""

    def __init__(self, cuda: Cuda, component: Component, largest: Extent) -> None:
        specs = (*component.inputs, *component.outputs)
        self.host: Mapping[str, Array] = {
            spec.name: cuda.pinned(shape_at(spec, largest), spec.dtype) for spec in specs
        }
        self.device = {name: cuda.allocate(array.nbytes) for name, array in self.host.items()}

    def at(self, spec: TensorSpec, extent: Extent) -> Array:
        """The host's side of a tensor at an extent; it lies at the beginning of the memory, without gaps."""
        shape = shape_at(spec, extent)
        flat: Array = self.host[spec.name].reshape(-1)
        return flat[: prod(shape)].reshape(shape)


def batched(spec: TensorSpec) -> bool:
    """Whether the first dimension is the batch; the row of a step table, say, has none."""
    return bool(spec.shape) and isinstance(spec.shape[0], str)


def sized(component: Component) -> TensorSpec | None:
    """The input whose sides are free, if there is one."""
    free = (spec for spec in component.inputs if any(isinstance(dim, str) for dim in spec.shape[1:]))
    return next(free, None)


def shape_at(spec: TensorSpec, extent: Extent) -> tuple[int, ...]:
    """The shape at an extent; free sides are called "height" and "width", or that many of them, like "8*height".

    Raises:
        BundleError: another dimension is free too.
    """
    batch = (extent.batch,) if batched(spec) else ()
    return (*batch, *(_length(dim, extent, spec) for dim in spec.shape[len(batch) :]))


def _length(dim: Dim, extent: Extent, spec: TensorSpec) -> int:
    if isinstance(dim, int):
        return dim
    length = side_length(dim, {"height": extent.height, "width": extent.width})
    if length is None:
        raise BundleError(
            f"expected no free dimension but the batch, height and width, found {list(spec.shape)}, for tensor '{spec.name}'"
        )
    return length
