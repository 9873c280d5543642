"""A saved Core ML package, evaluated on any machine.

"exact" computes in float64 and tells whether the program is right; "fp16" rounds every value to the type that the program declares,
with float32 inside an operator, as a device with wide accumulators does; "fp32" rounds nothing but that, and is what gradients are taken of.
None says anything about speed or placement.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fewstep.errors import FewstepError
from fewstep.network import Feeds, Run
from fewstep_export.components import Array
from fewstep_export.coreml.evaluation import OPERATORS
from fewstep_export.coreml.package import Literal as Stored
from fewstep_export.coreml.package import Operation, Package, TensorType, read_package

Mode = Literal["exact", "fp16", "fp32"]
Observe = Callable[[Operation, Mapping[str, Any]], None]
"""Told of every operation before it runs, with its arguments."""
_FLOATS = ("fp16", "fp32", "fp64")
KEPT = 300_000_000
"""Bytes of a package up to which its constants stay in memory between calls."""


class Evaluator:
    """Runs a function of a package; None takes the one that runs if none is named.

    Raises:
        FewstepError: the package is damaged.
    """

    def __init__(
        self,
        path: Path,
        mode: Mode = "exact",
        observe: Observe | None = None,
        function: str | None = None,
    ) -> None:
        self._path = path
        self._observe = observe
        self._package = read_package(path, function)
        self._mode = mode
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        self._kept: dict[str, Any] | None = {} if size <= KEPT else None

    def __call__(self, feeds: Feeds) -> dict[str, Array]:
        """The outputs by name, float32.

        Raises:
            FewstepError: the program holds an unknown operator, or a value has another shape than the program declares.
        """
        with torch.no_grad():
            found = self.tensors({name: torch.from_numpy(np.array(value)) for name, value in feeds.items()})
        return {name: value.numpy().astype(np.float32) for name, value in found.items()}

    def tensors(
        self, feeds: Mapping[str, Tensor], constants: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The outputs by name in the arithmetic of the mode, with gradients in the mode "fp32".

        Args:
            feeds: inputs by name.
            constants: other values of these constants, of any shape with as many values.

        Raises:
            FewstepError: see `__call__`.
        """
        package, given = self._package, constants or {}
        values: dict[str, Any] = {
            name: self._typed(feeds[name], kind, name) for name, kind in package.inputs.items()
        }
        uses = _uses(package)
        for operation in package.operations:
            name = next(iter(operation.outputs), "")
            if name in given:
                values[name] = given[name].reshape(operation.outputs[name].shape)
            else:
                values |= self._run_or_kept(operation, values)
            for used in _names(operation):
                uses[used] -= 1
                if not uses[used]:
                    del values[used]
        return {name: values[name] for name in package.outputs}

    def with_constants(self, values: Mapping[str, Array]) -> "Evaluator":
        """The same program with other values of these constants."""
        changed = copy(self)
        changed._kept = None if self._kept is None else {}
        changed._package = replace(
            self._package, operations=[_changed(operation, values) for operation in self._package.operations]
        )
        return changed

    def _run_or_kept(self, operation: Operation, values: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of an operation; those of constants are kept from the first call, stored ones expanded."""
        if self._kept is None or not operation.operator.startswith("const"):
            return self._run(operation, values)
        if not operation.outputs.keys() <= self._kept.keys():
            self._kept |= self._run(operation, values)
        return {name: self._kept[name] for name in operation.outputs}

    def _run(self, operation: Operation, values: Mapping[str, Any]) -> dict[str, Any]:
        if operation.operator not in OPERATORS:
            raise FewstepError(
                f"expected a known operator, found {operation.operator}, in {self._path}; add it to coreml/evaluation"
            )
        arguments = {name: self._argument(value, values) for name, value in operation.arguments.items()}
        if self._observe is not None:
            self._observe(operation, arguments)
        result = OPERATORS[operation.operator](arguments)
        results = result if isinstance(result, list) else [result]
        pairs = zip(operation.outputs.items(), results, strict=True)
        return {name: self._typed(value, kind, name) for (name, kind), value in pairs}

    def _argument(self, argument: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(argument, list):
            return [self._argument(item, values) for item in argument]
        if not isinstance(argument, Stored):
            return values[argument]
        value = argument.value
        if isinstance(value, str):
            return value
        return self._typed(torch.from_numpy(np.array(value)), argument.type, "a literal")

    def _typed(self, value: Tensor | str, kind: TensorType, name: str) -> Tensor | str:
        """The value as the program declares it, in the arithmetic of the mode."""
        if isinstance(value, str):
            return value
        if tuple(value.shape) != kind.shape:
            raise FewstepError(
                f"expected shape {kind.shape}, found {tuple(value.shape)}, at {name} in {self._path}; export the bundle again"
            )
        if kind.dtype not in _FLOATS:
            return value.to(torch.bool if kind.dtype == "bool" else torch.int32)
        if self._mode == "exact":
            return value.double()
        rounded = self._mode == "fp16" and kind.dtype == "fp16"
        return value.half().float() if rounded else value.float()


def by_rows(run: Run, batch: int = 1) -> Run:
    """Evaluates any number of rows with a package of a fixed batch; the rows must be a multiple of it."""

    def evaluate(feeds: Feeds) -> dict[str, Array]:
        rows = len(next(iter(feeds.values())))
        parts = [
            run({name: value[i : i + batch] for name, value in feeds.items()}) for i in range(0, rows, batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return evaluate


def _changed(operation: Operation, values: Mapping[str, Array]) -> Operation:
    """The constant with its new value, or any other operation as it is."""
    name = next(iter(operation.outputs), "")
    if operation.operator != "const" or name not in values:
        return operation
    stored = operation.arguments["val"]
    value = values[name].reshape(stored.type.shape)
    return replace(operation, arguments={**operation.arguments, "val": Stored(stored.type, value)})


def _uses(package: Package) -> Counter[str]:
    """How often each value is used, outputs of the program once more."""
    names = [name for operation in package.operations for name in _names(operation)]
    return Counter([*names, *package.outputs])


def _names(operation: Operation) -> list[str]:
    """The values that an operation uses."""
    flat: list[Any] = []
    for argument in operation.arguments.values():
        flat.extend(argument if isinstance(argument, list) else [argument])
    return [argument for argument in flat if isinstance(argument, str)]
