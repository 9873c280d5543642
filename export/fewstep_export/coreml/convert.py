"""An ONNX graph to a Core ML package, through the builder of coremltools' intermediate language MIL.

The package has the precision of the graph: FP16 with FP32 islands is what `passes.fp16.ToFp16` makes of a graph, so that a package
and a graph for ONNX Runtime round at the same places. Inputs and outputs stay float32 for the same reason: the sampler state is.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
import onnx
import onnx_ir as ir
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Function, Program, Var, types
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

from fewstep.errors import FewstepError
from fewstep_export.config import MinimumTarget
from fewstep_export.coreml.ops import RULES
from fewstep_export.coreml.preflight import attribute_value, require_convertible
from fewstep_export.coreml.rule import Call, Constant, Value, to_mil

__all__ = ["ConvertConfig", "MinimumTarget", "convert", "lower"]


@dataclass(frozen=True)
class ConvertConfig:
    """How a package is made.

    Attributes:
        target: the oldest system that may load it.
        batch: rows of every input; shapes of a package are fixed.
    """

    target: MinimumTarget = "iOS17"
    batch: int = 1

    def __post_init__(self) -> None:
        if self.target not in ("iOS17", "iOS18"):
            raise FewstepError(f"expected iOS17 or iOS18, found {self.target}, in --min-target; choose one")
        if self.batch < 1:
            raise FewstepError(f"expected a batch of at least 1, found {self.batch}; choose a larger one")


def convert(model: onnx.ModelProto, path: Path, config: ConvertConfig = ConvertConfig()) -> None:
    """Writes the package of a graph in FP32, or in FP16 with FP32 islands.

    Args:
        model: opset 20, the batch as the only free dimension.
        path: of the new folder NAME.mlpackage.
        config: see there.

    Raises:
        FewstepError: the graph has nodes that cannot be lowered; nothing is written.
    """
    require_convertible(model, path.name)
    program = lower(model, config)
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


def lower(model: onnx.ModelProto, config: ConvertConfig) -> Program:
    """The MIL program of a graph, before coremltools' passes."""
    graph = _with_batch(model, config.batch).graph
    target = getattr(ct.target, config.target)
    values: dict[str, Value] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = {_identifier(value.name): _placeholder(value) for value in graph.input}
    program = Program()
    with Function(inputs, opset_version=target) as function:
        values |= {value.name: function.inputs[_identifier(value.name)] for value in graph.input}
        for node in graph.node:
            values |= _lower_node(node, values)
        outputs = [mb.identity(x=to_mil(values[o.name]), name=_identifier(o.name)) for o in graph.output]
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


def _lower_node(node: onnx.NodeProto, values: Mapping[str, Value]) -> Mapping[str, Value]:
    """The outputs of a node by name; a node without variable inputs is computed now."""
    inputs = tuple(values[name] if name else None for name in node.input)
    if not any(isinstance(value, Var) for value in inputs):
        return dict(zip(node.output, _fold(node, inputs), strict=True))
    attributes = {attribute.name: attribute_value(attribute) for attribute in node.attribute}
    name = f"{_identifier(node.output[0])}_"  # the plain names are those of the graph's outputs
    call = Call(node.op_type, name, inputs, attributes, len(node.output))
    result = RULES[node.op_type].lower(call)
    return dict(zip(node.output, result if isinstance(result, list) else [result], strict=True))


def _fold(node: onnx.NodeProto, inputs: Sequence[Constant | None]) -> list[Constant]:
    feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    return list(ReferenceEvaluator(node).run(None, feeds))


def _with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The graph with a fixed batch."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = batch
    del fixed.graph.value_info[:]
    return ir.serde.serialize_model(ShapeInferencePass()(ir.serde.deserialize_model(fixed)).model)


def _placeholder(value: onnx.ValueInfoProto) -> Any:
    tensor = value.type.tensor_type
    dtypes: Mapping[int, Any] = {onnx.TensorProto.FLOAT: types.fp32, onnx.TensorProto.INT32: types.int32}
    return mb.placeholder(shape=[dim.dim_value for dim in tensor.shape.dim], dtype=dtypes[tensor.elem_type])


def _identifier(name: str) -> str:
    """A name that MIL allows."""
    return re.sub(r"\W", "_", name)
