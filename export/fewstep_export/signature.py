"""The inputs and outputs of a graph as the manifest tells them."""

from collections.abc import Mapping

import onnx
from onnx import TensorProto

from fewstep.manifest import Component, DType, TensorSpec

DTYPES: Mapping[int, DType] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}


def component_record(model: onnx.ModelProto, file: str) -> Component:
    """The component of a graph that lies in that file of the bundle."""
    inputs, outputs = (
        tuple(_spec(value) for value in values) for values in (model.graph.input, model.graph.output)
    )
    return Component(file, inputs, outputs)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    return TensorSpec(value.name, DTYPES[tensor.elem_type], shape)
