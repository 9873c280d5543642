"""How much memory a graph's tensors take at once, from their shapes alone."""

from collections.abc import Mapping
from math import prod

import onnx
import onnx_ir as ir
from onnx import helper
from onnx_ir.passes.common import ShapeInferencePass

from fewstep.sizes import side_length
from fewstep_export.passes.fold_constants import FoldConstants

_FREE = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
"""Operators whose result is their input's memory in another shape."""
_SHAPES = 64
"""Numbers up to which a constant is folded: enough for shapes, too few for weights."""


def at_batch(model: onnx.ModelProto, batch: int, sides: Mapping[str, int] = {}) -> onnx.ModelProto:
    """The graph with its free dimensions fixed and every shape that follows from them.

    Args:
        model: a graph.
        batch: the length of every free dimension that `sides` does not name.
        sides: of the latents, "height" and "width", for graphs of many sizes; "8*height" is so many of them.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                length = side_length(dim.dim_param, sides)
                dim.dim_value = batch if length is None else length
    del fixed.graph.value_info[:]
    if sides:  # shapes are computed inside of such a graph
        once = (ShapeInferencePass(), FoldConstants(_SHAPES))
        folding = ir.passes.Sequential(*once, *once, ShapeInferencePass())
        fixed = ir.serde.serialize_model(folding(ir.serde.deserialize_model(fixed)).model)
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def activation_bytes(model: onnx.ModelProto) -> tuple[int, int]:
    """The peak of tensors alive at once in the order of the graph, and of how many tensors the size is unknown.

    A lower bound for engines that fuse nothing, an upper one for those that fuse: TensorRT keeps what a fused kernel makes on the way
    in registers.
    """
    sizes = {
        value.name: _size(value)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    last = {name: i for i, node in enumerate(model.graph.node) for name in node.input}
    last |= {value.name: len(model.graph.node) for value in model.graph.output}
    alive = sum(sizes[value.name] or 0 for value in model.graph.input)
    peak, unknown = alive, 0
    for i, node in enumerate(model.graph.node):
        for name in node.output if node.op_type not in _FREE else ():
            size = sizes.get(name)
            unknown += size is None
            alive += size or 0
        peak = max(peak, alive)
        if node.op_type in _FREE:  # the memory lives on under another name
            sizes[node.output[0]] = sizes.get(node.input[0])
            sizes[node.input[0]] = 0
        alive -= sum(sizes.get(name) or 0 for name in set(node.input) if last.get(name) == i)
    return peak, unknown


def _size(value: onnx.ValueInfoProto) -> int | None:
    tensor = value.type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if not tensor.HasField("shape") or any(dim.dim_value == 0 for dim in tensor.shape.dim):
        return None
    return prod(dims) * int(helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize)
