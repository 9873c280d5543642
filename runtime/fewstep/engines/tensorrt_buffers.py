"""Memory for the tensors of an engine, and their shapes at a batch."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from fewstep.engines.cuda import Cuda
from fewstep.errors import BundleError
from fewstep.variant import Component, TensorSpec

Array = npt.NDArray[Any]


class Buffers:
    """Memory for every tensor at the largest batch, on the GPU and pinned on the host."""

    def __init__(self, cuda: Cuda, component: Component, max_batch: int) -> None:
        specs = (*component.inputs, *component.outputs)
        self.host: Mapping[str, Array] = {
            spec.name: cuda.pinned(shape_at(spec, max_batch), spec.dtype) for spec in specs
        }
        self.device = {name: cuda.allocate(array.nbytes) for name, array in self.host.items()}

    def at(self, spec: TensorSpec, batch: int) -> Array:
        """The host's side of a tensor at a batch."""
        return self.host[spec.name][:batch] if batched(spec) else self.host[spec.name]


def batched(spec: TensorSpec) -> bool:
    """Whether the first dimension is the batch; the row of a step table, say, has none."""
    return bool(spec.shape) and isinstance(spec.shape[0], str)


def shape_at(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    """The shape at a batch.

    Raises:
        BundleError: another dimension is free too.
    """
    sizes = spec.shape[1:] if batched(spec) else spec.shape
    if not all(isinstance(size, int) for size in sizes):
        raise BundleError(
            f"expected no free dimension but the batch, found {list(spec.shape)}, for tensor '{spec.name}'"
        )
    fixed = tuple(int(size) for size in sizes)
    return (batch, *fixed) if batched(spec) else fixed
