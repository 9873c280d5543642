"""Core ML on macOS: .mlpackage folders. This engine has been checked for types and refusals alone, never on a Mac."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fewstep.engines import Tensors, check_tensors
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component, TensorSpec

ComputeUnits = Literal["ALL", "CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY"]
"""Where Core ML may run a program, in the words of coremltools."""


class CoreMLEngine:
    """One component in Core ML; the shapes of a package are fixed to one row, so that larger batches run row by row.

    Args:
        path: the folder NAME.mlpackage, already verified, or a compiled NAME.mlmodelc of `compiled`.
        component: its signature.
        units: where it may run.
        function: of a package with several; None takes the default one.
        cache: a folder where the compiled program is kept for the next start; None compiles at each.

    Raises:
        FewstepError: this is no Mac, coremltools is not installed, or the units are unknown.
        BundleError: Core ML cannot load the package.
    """

    def __init__(
        self,
        path: Path,
        component: Component,
        units: ComputeUnits = "ALL",
        function: str | None = None,
        cache: Path | None = None,
    ) -> None:
        if units not in get_args(ComputeUnits):
            raise FewstepError(
                f"expected units {', '.join(get_args(ComputeUnits))}, found {units}; choose one"
            )
        self.seconds = 0.0
        self._where = component.file
        self._component = component
        self._outputs = tuple(
            replace(spec, dtype="float32") for spec in component.outputs
        )  # as the sampler wants them
        program = path if cache is None or path.suffix == ".mlmodelc" else compiled(path, cache, digest(path))
        self._model = _load(program, units, function)

    def run(self, feeds: Tensors) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the graph once a row; see `Engine.run`. Inputs that the package wants in float16 are given in float32 as well."""
        given = as_declared(feeds, self._component.inputs)
        check_tensors(given, self._component.inputs, self._where)
        begin = perf_counter()
        rows = [self._model.predict(row) for row in split_rows(given)]
        self.seconds = perf_counter() - begin
        outputs = {
            spec.name: np.concatenate([np.asarray(row[spec.name], dtype=np.float32) for row in rows])
            for spec in self._component.outputs
        }
        check_tensors(outputs, self._outputs, self._where)
        return outputs

    def write(self, feeds: Tensors, outputs: Tensors) -> None:
        """Runs the graph and copies: Core ML's Python interface owns its outputs; see `Engine.write`."""
        check_tensors(outputs, self._outputs, self._where)
        for name, result in self.run(feeds).items():
            np.copyto(outputs[name], result)


def as_declared(feeds: Tensors, specs: tuple[TensorSpec, ...]) -> Tensors:
    """The feeds, those of float32 rounded to float16 where a package declares that (`fewstep export --half-io`)."""
    half = {spec.name for spec in specs if spec.dtype == "float16"}
    return {
        name: array.astype(np.float16) if name in half and array.dtype == np.float32 else array
        for name, array in feeds.items()
    }


def split_rows(feeds: Tensors) -> list[Mapping[str, npt.NDArray[np.generic]]]:
    """Every row of a batch as a batch of its own."""
    count = len(next(iter(feeds.values())))
    return [{name: value[i : i + 1] for name, value in feeds.items()} for i in range(count)]


def digest(path: Path) -> str:
    """SHA-256 of the names and contents of a package's files, but for its manifest, whose identifiers are random."""
    total = sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != "Manifest.json":
            total.update(file.relative_to(path).as_posix().encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def compiled(path: Path, cache: Path, digest: str) -> Path:
    """The package compiled for this machine, which takes Core ML seconds to minutes: once for each content.

    Args:
        path: the folder NAME.mlpackage.
        cache: a folder of this machine.
        digest: of the package's files; another content is compiled again.

    Raises:
        FewstepError: this is no Mac, or coremltools is not installed.
    """
    target = cache / f"{path.stem}-{digest[:16]}.mlmodelc"
    if not target.is_dir():
        tools = _coremltools()
        cache.mkdir(parents=True, exist_ok=True)
        tools.models.utils.compile_model(str(path), str(target))
    return target


def _load(path: Path, units: ComputeUnits, function: str | None) -> Any:
    tools = _coremltools()
    where = tools.ComputeUnit[units]
    try:
        if path.suffix == ".mlmodelc":
            return tools.models.CompiledMLModel(str(path), where, function_name=function)
        return tools.models.MLModel(str(path), compute_units=where, function_name=function)
    except Exception as error:  # noqa: BLE001 - coremltools passes on whatever Core ML throws
        raise BundleError(
            f"expected a package that Core ML can load, found a broken one, in {path} ({error}); export the bundle again"
        ) from None


def _coremltools() -> Any:
    if sys.platform != "darwin":
        raise FewstepError(
            f"expected macOS for the engine coreml, found {sys.platform}; choose another --variant, or judge the package "
            "with `fewstep verify`"
        )
    try:
        import coremltools
    except ImportError as error:
        raise FewstepError(
            "expected coremltools for the engine coreml, found none; install fewstep with the extra [coreml]"
        ) from error
    return coremltools
