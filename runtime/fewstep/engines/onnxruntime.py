"""ONNX Runtime on the CPU: .onnx and .ort graphs."""

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import onnxruntime

from fewstep.engines import Tensors, check_tensors
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component, TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
_FATAL = 4  # ONNX Runtime's own log would only repeat, in many lines, what the exception says


class OnnxRuntimeEngine:
    """One component in an ONNX Runtime session.

    Args:
        path: the .onnx or .ort file, already verified.
        component: its signature, which the graph must have.
        threads: threads inside one operator; None leaves it to ONNX Runtime (one a physical core).

    Raises:
        BundleError: the file is no valid graph, or has another signature.
        FewstepError: threads < 1.
        MemoryError: there is too little memory, here or while it runs.
    """

    def __init__(self, path: Path, component: Component, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise FewstepError(f"expected at least 1 thread, found {threads}; choose a larger number")
        self._here = threading.local()
        self._where = component.file
        self._component = component
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no base class of their own
            _require_memory(error)
            raise BundleError(
                f"expected a graph that ONNX Runtime can load, found a broken one, in {path} "
                f"({_reason(error)}); export the bundle again"
            ) from None
        _SESSIONS.add(self._session)
        self._outputs = [spec.name for spec in component.outputs]
        _check_signature(self._session.get_inputs(), component.inputs, f"the inputs of {path}")
        _check_signature(self._session.get_outputs(), component.outputs, f"the outputs of {path}")

    @property
    def seconds(self) -> float:
        """Time that the last run of this thread spent inside the graph."""
        return float(getattr(self._here, "seconds", 0.0))

    def run(self, feeds: Tensors) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the graph once; see `Engine.run`."""
        check_tensors(feeds, self._component.inputs, self._where)
        with self._timed():
            results = self._session.run(self._outputs, dict(feeds), _QUIET)
        outputs = dict(zip(self._outputs, results, strict=True))
        check_tensors(outputs, self._component.outputs, self._where)
        return outputs

    def write(self, feeds: Tensors, outputs: Tensors) -> None:
        """Runs the graph once on the caller's memory; see `Engine.write`."""
        check_tensors(feeds, self._component.inputs, self._where)
        check_tensors(outputs, self._component.outputs, self._where)
        binding = self._session.io_binding()
        # On the CPU such a value is a view of the array; only the arrays of one call are bound, so none outlives it.
        inputs = {name: _value(array, self._where) for name, array in feeds.items()}
        results = {name: _value(array, self._where) for name, array in outputs.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in results.items():
            binding.bind_ortvalue_output(name, value)
        with self._timed():
            self._session.run_with_iobinding(binding, _QUIET)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Notes how long the block took; an error of ONNX Runtime becomes one sentence."""
        begin = perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as above
            _require_memory(error)
            raise FewstepError(f"expected {self._where} to run, found an error ({_reason(error)})") from None
        self._here.seconds = perf_counter() - begin


def _require_memory(error: Exception) -> None:
    """ONNX Runtime has no exception of its own for want of memory: these are C++'s words and those of its arena."""
    if any(words in str(error) for words in ("bad_alloc", "Failed to allocate memory")):
        raise MemoryError from None


def _keep_for_ever() -> None:
    """In a fork: no session of the parent is ever destroyed, since that would wait for its threads, which are not here.

    Python destroys what nobody uses at any moment, in the middle of other work. ONNX Runtime 1.32, seen by the tests of forks.
    """
    for session in _SESSIONS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


_SESSIONS: "weakref.WeakSet[onnxruntime.InferenceSession]" = weakref.WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_keep_for_ever)


def _value(array: npt.NDArray[np.generic], where: str) -> onnxruntime.OrtValue:
    """A view of the array."""
    if not array.flags.c_contiguous:
        raise FewstepError(f"expected contiguous arrays, found one with strides {array.strides}, for {where}")
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _quiet() -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.log_severity_level = _FATAL
    return options


_QUIET = _quiet()


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads or 0
    # Waiting threads that spin take the core from the one that works: 2 threads on a busy 2-core machine took
    # 195 ms with spinning and 104 ms without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _check_signature(nodes: list[onnxruntime.NodeArg], specs: tuple[TensorSpec, ...], where: str) -> None:
    """A graph dimension may be freer than the manifest's, never narrower."""
    found = {node.name: node for node in nodes}
    for spec in specs:
        node = found.pop(spec.name, None)
        if node is None:
            names = ", ".join(node.name for node in nodes)
            raise BundleError(
                f"expected a tensor '{spec.name}', found {names}, in {where}; export the bundle again"
            )
        fits = len(node.shape) == len(spec.shape) and all(
            not isinstance(size, int) or size == dim for dim, size in zip(spec.shape, node.shape, strict=True)
        )
        if _DTYPES.get(node.type) != spec.dtype or not fits:
            raise BundleError(
                f"expected '{spec.name}' as {spec.dtype} {list(spec.shape)}, found {node.type} {list(node.shape)}, "
                f"in {where}; export the bundle again"
            )
    if found:
        raise BundleError(
            f"expected no further tensor, found '{next(iter(found))}', in {where}; export the bundle again"
        )


def _reason(error: Exception) -> str:
    """The first line of ONNX Runtime's message, cut to a readable length."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
