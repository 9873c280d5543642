"""An ONNX graph to a Core ML package, through the builder of coremltools' intermediate language MIL.

The package has the precision of the graph: FP16 with FP32 islands is what `passes.fp16.ToFp16` makes of a graph, so that a package
and a graph for ONNX Runtime round at the same places. Inputs and outputs stay float32 for the same reason: the sampler state is.
"""

import contextlib
import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import onnx
import onnx_ir as ir
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Function, Program, Var, types
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

from fewstep_export.coreml.eight_bits import EightBits
from fewstep_export.coreml.neural_engine import Forms
from fewstep_export.coreml.ops import RULES
from fewstep_export.coreml.ops.quantized import stored
from fewstep_export.coreml.preflight import attribute_value, require_convertible
from fewstep_export.coreml.rule import Call, Constant, Value, to_mil
from fewstep_export.package_config import ConvertConfig

_SMALL = 1024
"""Initializers of at most so many values may be shapes."""
_DEFAULTS = ConvertConfig()
__all__ = ["ConvertConfig", "convert", "lower"]


def convert(
    model: onnx.ModelProto,
    path: Path,
    config: ConvertConfig = _DEFAULTS,
    folder: Path | None = None,
) -> None:
    """Writes the package of a graph in FP32, or in FP16 with FP32 islands.

    Args:
        model: opset 20, the batch as the only free dimension.
        path: of the new folder NAME.mlpackage.
        config: see there.
        folder: of weights that lie in files beside the graph; they are mapped into memory, not read.

    Raises:
        FewstepError: the graph has nodes that cannot be lowered; nothing is written.
    """
    require_convertible(model, path.name)
    program = lower(model, config, folder)
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():  # progress bars of 92 passes
        warnings.simplefilter("ignore")
        package = ct.convert(
            program,
            source="milinternal",
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT32,  # as the graph is
            pass_pipeline=_passes(),
            minimum_deployment_target=getattr(ct.target, config.target),
            skip_model_load=True,
        )
        package.save(str(path))


def lower(model: onnx.ModelProto, config: ConvertConfig, folder: Path | None = None) -> Program:
    """The MIL program of a graph, before coremltools' passes."""
    graph = _with_batch(model, config.batch).graph
    target = getattr(ct.target, config.target)
    values: dict[str, Value] = {tensor.name: _array(tensor, folder) for tensor in model.graph.initializer}
    given = [value for value in graph.input if value.name not in values]
    inputs = {_identifier(value.name): _placeholder(value, config.half_io) for value in given}
    program = Program()
    with Function(inputs, opset_version=target) as function:
        values |= {
            value.name: _as_float32(function.inputs[_identifier(value.name)], value.name) for value in given
        }
        forms = Forms() if config.neural_engine else None
        for node in graph.node:
            values |= _lower_node(node, values, forms, ios18=config.target != "iOS17")
        outputs = [_output(values[o.name], _identifier(o.name), config.half_io) for o in graph.output]
        function.set_outputs(outputs)
    program.add_function("main", function)
    return program


def _passes() -> ct.PassPipeline:
    """Coremltools' passes but the one that turns x * scale + shift into a batch norm of variance 1 and the default epsilon, 1e-5.

    It changes every value by 5e-6 of itself; nine norms of a decoder in a row by 2e-5.
    """
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes({"common::fuse_elementwise_to_batchnorm"})
    return pipeline


def _lower_node(
    node: onnx.NodeProto, values: Mapping[str, Value], forms: Forms | None, ios18: bool
) -> Mapping[str, Value]:
    """The outputs of a node by name; a node without variable inputs is computed now, but for weights of eight bits."""
    inputs = tuple(values[name] if name else None for name in node.input)
    attributes = {attribute.name: attribute_value(attribute) for attribute in node.attribute}
    name = f"{_identifier(node.output[0])}_"  # the plain names are those of the graph's outputs
    call = Call(node.op_type, name, inputs, attributes, len(node.output), ios18)
    if not any(isinstance(value, Var) for value in inputs):
        weights = stored(call) if node.op_type == "DequantizeLinear" else None
        folded = _fold(node, inputs) if weights is None else [weights]
        return dict(zip(node.output, folded, strict=True))
    result = None if forms is None else forms.lower(node, call)
    result = RULES[node.op_type].lower(call) if result is None else result
    return dict(zip(node.output, result if isinstance(result, list) else [result], strict=True))


def _fold(node: onnx.NodeProto, inputs: Sequence[Value]) -> list[Constant]:
    feeds = {
        name: value.values() if isinstance(value, EightBits) else value
        for name, value in zip(node.input, inputs, strict=True)
        if name
    }
    return list(ReferenceEvaluator(node).run(None, feeds))


def _array(tensor: onnx.TensorProto, folder: Path | None) -> Constant:
    """The values of an initializer; those of a file are mapped."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    assert folder is not None
    where = {entry.key: entry.value for entry in tensor.external_data}
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.memmap(folder / where["location"], dtype, "r", int(where.get("offset", 0)), tuple(tensor.dims))  # type: ignore[no-any-return, unused-ignore]


def _with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The graph with a fixed batch, without the weights: of them, shape inference needs the type and the shape alone."""
    fixed = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    fixed.graph.node.extend(model.graph.node)
    fixed.graph.input.extend(model.graph.input)
    fixed.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL and math.prod(tensor.dims) <= _SMALL:
            fixed.graph.initializer.append(tensor)
        else:
            fixed.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = batch
    return ir.serde.serialize_model(ShapeInferencePass()(ir.serde.deserialize_model(fixed)).model)


def _placeholder(value: onnx.ValueInfoProto, half: bool) -> Any:
    tensor = value.type.tensor_type
    dtypes: Mapping[int, Any] = {onnx.TensorProto.FLOAT: types.fp32, onnx.TensorProto.INT32: types.int32}
    shape, dtype = [dim.dim_value for dim in tensor.shape.dim], dtypes[tensor.elem_type]
    return mb.placeholder(
        shape=shape, dtype=types.fp16 if half and dtype is types.fp32 and len(shape) > 1 else dtype
    )


def _as_float32(value: Var, name: str) -> Var:
    """An input as the graph has it; coremltools' passes join the cast with that of an FP16 graph."""
    return (
        mb.cast(x=value, dtype="fp32", name=f"{_identifier(name)}_fp32")
        if value.dtype == types.fp16
        else value
    )


def _output(value: Value, name: str, half: bool) -> Var:
    value = to_mil(value)
    return mb.cast(x=value, dtype="fp16", name=name) if half else mb.identity(x=value, name=name)


def _identifier(name: str) -> str:
    """A name that MIL allows."""
    return re.sub(r"\W", "_", name)
