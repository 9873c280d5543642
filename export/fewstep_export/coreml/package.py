"""A saved .mlpackage as a list of operations, read with the format's own protocol buffers and nothing of the converter."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from coremltools.proto import Model_pb2

from fewstep.errors import FewstepError
from fewstep_export.components import Array
from fewstep_export.coreml.weight_file import DTYPES, PACKED, WeightFile, unpack

_TYPES = {
    1: "bool",
    2: "string",
    10: "fp16",
    11: "fp32",
    12: "fp64",
    13: "bf16",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    25: "int4",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
    35: "uint4",
    36: "uint2",
    37: "uint1",
    38: "uint6",
    39: "uint3",
}  # by MIL.proto's DataType
LISTS = frozenset({"values"})
"""Arguments that are lists of tensors, even with one element."""


@dataclass(frozen=True)
class TensorType:
    """What the program declares of a value: its type in MIL's words and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Literal:
    """A value that stands in the program or its weight file; texts are str.

    Attributes:
        type: what the program declares.
        held: the value, or what reads it.
    """

    type: TensorType
    held: Array | str | Callable[[], Array]

    @property
    def value(self) -> Array | str:
        """The value; one of a weight file is read anew every time, so that it is in memory only while someone holds it."""
        return self.held() if callable(self.held) else self.held


@dataclass(frozen=True)
class Operation:
    """A step of the program; an argument is the name of an earlier value, a literal, or a list of those."""

    operator: str
    arguments: Mapping[str, Any]
    outputs: Mapping[str, TensorType]


@dataclass(frozen=True)
class Package:
    """The program of a package, whose weights stay in its file.

    Attributes:
        opset: the operators' version, "CoreML7" for iOS 17 and "CoreML8" for iOS 18.
        inputs, operations, outputs: of one function.
    """

    opset: str
    inputs: Mapping[str, TensorType]
    operations: Sequence[Operation]
    outputs: tuple[str, ...]


def read_package(path: Path, function: str | None = None) -> Package:
    """Reads a function of a folder NAME.mlpackage; None takes the one that runs if none is named.

    Raises:
        FewstepError: a file is missing or damaged.
    """
    root, model = _read_model(path)
    functions = model.mlProgram.functions
    chosen = function or model.description.defaultFunctionName or "main"
    if chosen not in functions:
        raise FewstepError(
            f"expected a function {chosen}, found {', '.join(sorted(functions))}, in {path}; name one"
        )
    program = functions[chosen]
    block = program.block_specializations[program.opset]
    reader = _Reader(root.parent)
    return Package(
        opset=program.opset,
        inputs={value.name: _type(value.type) for value in program.inputs},
        operations=[reader.operation(operation) for operation in block.operations],
        outputs=tuple(block.outputs),
    )


def overwrite(path: Path, values: Mapping[str, Array]) -> None:
    """Writes other values of the same size over constants of a package, by name.

    Raises:
        FewstepError: the package is damaged, or has no such constant in its weight file.
    """
    root, model = _read_model(path)
    blobs = _blobs(model)
    for name, value in values.items():
        if name not in blobs:
            raise FewstepError(f"expected weights {name}, found none, in {path}; export the bundle again")
        file = root.parent / blobs[name].fileName.removeprefix("@model_path/")
        start, size = WeightFile(file).place(blobs[name].offset)
        if size != value.nbytes:
            raise FewstepError(
                f"expected {size} bytes, found {value.nbytes}, for {name} in {path}; keep the type"
            )
        with file.open("r+b") as stream:
            stream.seek(start)
            stream.write(value.tobytes())


def stored_constants(path: Path) -> frozenset[str]:
    """The names that `overwrite` takes.

    Raises:
        FewstepError: the package is damaged.
    """
    return frozenset(_blobs(_read_model(path)[1]))


def _blobs(model: Any) -> Mapping[str, Any]:
    """Where the constants of "main" lie in weight files, by name."""
    function = model.mlProgram.functions["main"]
    return {
        operation.outputs[0].name: operation.attributes["val"].blobFileValue
        for operation in function.block_specializations[function.opset].operations
        if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue"
    }


def _read_model(path: Path) -> tuple[Path, Any]:
    """The file of the program, and its message."""
    try:
        manifest = json.loads((path / "Manifest.json").read_text(encoding="utf-8"))
        root = path / "Data" / manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        return root, Model_pb2.Model.FromString(root.read_bytes())
    except (OSError, ValueError, KeyError) as error:
        raise FewstepError(
            f"expected a Core ML package, found {error}, in {path}; export the bundle again"
        ) from error


class _Reader:
    """Turns messages into operations; each weight file is opened once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, WeightFile] = {}

    def operation(self, message: Any) -> Operation:
        arguments = {name: self._argument(name, argument) for name, argument in message.inputs.items()}
        constants = {
            name: self._literal(value) for name, value in message.attributes.items() if name != "name"
        }
        outputs = {value.name: _type(value.type) for value in message.outputs}
        return Operation(message.type, {**arguments, **constants}, outputs)

    def _argument(self, name: str, argument: Any) -> Any:
        values = [
            binding.name if binding.WhichOneof("binding") == "name" else self._literal(binding.value)
            for binding in argument.arguments
        ]
        return values if name in LISTS else values[0]

    def _literal(self, message: Any) -> Literal:
        kind = _type(message.type)
        count = int(np.prod(kind.shape, dtype=int))
        if message.WhichOneof("value") == "blobFileValue":
            blob = message.blobFileValue
            read = self._file(blob.fileName).blob(blob.offset, kind.dtype, count)
            return Literal(kind, lambda: read().reshape(kind.shape))
        tensor = message.immediateValue.tensor
        field = tensor.WhichOneof("value")
        values = getattr(tensor, field).values
        if kind.dtype == "string":
            return Literal(kind, values[0])
        if field == "bytes":
            return Literal(kind, unpack(values, kind.dtype, count).reshape(kind.shape))
        dtype = np.int8 if kind.dtype in PACKED else DTYPES[kind.dtype]
        return Literal(kind, np.array(values, dtype).reshape(kind.shape))

    def _file(self, name: str) -> WeightFile:
        if name not in self._files:
            self._files[name] = WeightFile(self._folder / name.removeprefix("@model_path/"))
        return self._files[name]


def _type(message: Any) -> TensorType:
    tensor = message.tensorType
    return TensorType(_TYPES[tensor.dataType], tuple(dim.constant.size for dim in tensor.dimensions))
