"""Values that are computed when a file is written, one tensor at a time, and kept by nobody."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[np.generic]


def lazy(
    source: ir.TensorProtocol, action: Callable[[Array], Array], name: str, dtype: ir.DataType | None = None
) -> ir.LazyTensor:
    """A tensor that is `action(source)` whenever it is asked.

    Args:
        source: what the action is given.
        action: of numpy arrays; it may change the shape and, to `dtype`, the type.
        name: of the new tensor.
        dtype: of the new tensor; None keeps that of the source.
    """
    marks = np.broadcast_to(np.zeros((), dtype=np.int8), source.shape.numpy())  # a shape that costs no memory
    shape = action(marks).shape if dtype is None else marks.shape

    def compute() -> ir.TensorProtocol:
        values = np.array(
            action(source.numpy()), order="C"
        )  # a copy, also where the action only turns a view
        if isinstance(source, ir.ExternalTensor):
            source.release()  # or the pages of its file stay in this process
        return ir.Tensor(values, name=name)

    return ir.LazyTensor(compute, dtype=dtype or source.dtype, shape=ir.Shape(shape), name=name)


def converted(
    source: ir.TensorProtocol, action: Callable[[Array], Array], name: str, dtype: ir.DataType
) -> ir.TensorProtocol:
    """A tensor of another type and the same shape: at once, or lazily if the source is not in memory either."""
    if isinstance(source, (ir.ExternalTensor, ir.LazyTensor)):
        return lazy(source, action, name, dtype)
    return ir.tensor(action(source.numpy()), name=name)
