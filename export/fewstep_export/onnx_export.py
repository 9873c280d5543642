"""A torch component to an ONNX graph in FP32: opset 20, a free batch dimension, one file, the same bytes every time."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ShapeInferencePass
from torch import Tensor, nn
from torch.export import ExportedProgram

from fewstep.errors import FewstepError
from fewstep_export.components import Component, Exportable, Feeds, GraphComponent
from fewstep_export.passes.clean_metadata import CleanMetadata
from fewstep_export.passes.drop_casts import DropCasts
from fewstep_export.passes.drop_void_squeezes import DropVoidSqueezes
from fewstep_export.passes.drop_zero_bias import DropZeroBias
from fewstep_export.passes.fold_constants import FoldConstants
from fewstep_export.passes.freeze_reshapes import FreezeReshapes

OPSET = 20  # what ONNX Runtime Mobile and TensorRT both read; 17 is unreliable with the dynamo exporter
BATCH = "batch"


@dataclass(frozen=True)
class ExportedComponent:
    """An FP32 graph with the torch program that it was translated from, if any; tensors of one name hold the same values."""

    component: Exportable
    model: onnx.ModelProto
    program: ExportedProgram | None


Graphs = Mapping[str, ExportedComponent]
"""Graphs by component."""


def export_component(component: Exportable, example: Feeds, sized: str | None = None) -> ExportedComponent:
    """The ONNX graph of a component; one that is a graph already keeps it.

    Args:
        component: what to export.
        example: inputs with a batch of at least 2 (torch.export takes a size of 1 for a constant).
        sized: see `translate`.

    Raises:
        FewstepError: torch cannot trace the module.
    """
    if isinstance(component, GraphComponent):
        return ExportedComponent(component, component.model, None)
    assert isinstance(component, Component)  # there is no third kind
    arguments = tuple(torch.from_numpy(np.ascontiguousarray(example[name])) for name in component.inputs)
    program = translate(
        component.name,
        component.module,
        dict(zip(component.inputs, arguments, strict=True)),
        component.outputs,
        sized,
    )
    assert program.exported_program is not None  # it was given one
    model = ir.serde.serialize_model(simplify(program.model).model)
    check(model)
    return ExportedComponent(component, model, program.exported_program)


def translate(
    name: str,
    module: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    sized: str | None = None,
) -> torch.onnx.ONNXProgram:
    """The exporter's own graph of a module, its first dimension free.

    Args:
        name: for messages.
        module: in evaluation mode.
        example: inputs by name in the order of `forward`, with a batch of at least 2.
        outputs: names of the outputs in order.
        sized: an input (B, C, h, w) whose sides are free too, as far as the module does not compute with what they are.

    Raises:
        FewstepError: torch cannot trace the module.
    """
    arguments = tuple(example.values())
    batch = torch.export.Dim(BATCH, max=63)  # diffusers copies batches of 64 and more before a Resize
    sides = {i: torch.export.Dim.AUTO for i in (2, 3)}
    free = tuple({0: batch, **(sides if key == sized else {})} for key in example)
    with quiet():
        try:
            # Traced here, not by the exporter: its own call cannot tell that the batches of two inputs are one.
            traced = torch.export.export(module, arguments, dynamic_shapes=free, strict=False)
            program = torch.onnx.export(
                traced,
                arguments,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(example),
                output_names=list(outputs),
                dynamic_shapes=free,
                optimize=False,  # its optimizer deletes x + eps for eps <= 1e-8; passes/ holds what is wanted of it
                verbose=False,
            )
        except Exception as error:
            raise FewstepError(
                f"expected {name} to be exportable, found: {root_cause(error)}; change the module"
            ) from error
    assert program is not None  # as with every call without a file name
    return program


def simplify(model: ir.Model, fold: FoldConstants | None = None) -> ir.passes.PassResult:
    """The exporter's graph without what only the exporter needs: paths, constants to compute, free shapes."""
    fold = fold or FoldConstants()
    passes = (
        CleanMetadata(),
        fold,
        DropVoidSqueezes(),
        ShapeInferencePass(),  # the exporter leaves many shapes unknown
        FreezeReshapes(),
        DropCasts(),
        fold,
        DropZeroBias(),
        ShapeInferencePass(),
    )
    return ir.passes.Sequential(*passes)(model)


def check(model: onnx.ModelProto) -> None:
    """ONNX's own check of operators, types and shapes.

    Raises:
        onnx.checker.ValidationError, onnx.shape_inference.InferenceError: the graph is wrong.
    """
    onnx.checker.check_model(model, full_check=True)


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The model as a file's content, the same for the same model."""
    return model.SerializeToString(deterministic=True)


def root_cause(error: BaseException) -> str:
    """The first line of the error from which the others come; the exporter's own ones say little."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' remarks about their own internals, torchvision and weights without values, which nobody here can act on."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
