"""OpenVINO on x86 (and ARM) processors: the .onnx graphs of a bundle as they are."""

import threading
from collections.abc import Collection
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fewstep.engines import Tensors, check_tensors
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component

Precision = Literal["f32", "bf16"]
"""What float work is computed in. OpenVINO's own choice would be bf16 where the processor has it: faster, and other pictures."""
_LONGEST = 200


class OpenVinoEngine:
    """One component in OpenVINO, compiled for latency.

    Args:
        path: the .onnx file, already verified.
        component: its signature.
        threads: threads inside one operator; None leaves it to OpenVINO.
        precision: of float work.

    Raises:
        BundleError: OpenVINO cannot load the graph; it has not all operators of ONNX Runtime.
        FewstepError: openvino is not installed, or an option is out of range.
    """

    def __init__(
        self, path: Path, component: Component, threads: int | None = None, precision: Precision = "f32"
    ) -> None:
        if threads is not None and threads < 1:
            raise FewstepError(f"expected at least 1 thread, found {threads}; choose a larger number")
        if precision not in get_args(Precision):
            raise FewstepError(f"expected the precision f32 or bf16, found '{precision}'; choose one")
        self.seconds = 0.0
        self._where = component.file
        self._component = component
        self._outputs = [spec.name for spec in component.outputs]
        self._model = _compiled(path, threads, precision)
        _check_names(self._model.inputs, component.input_names, f"the inputs of {path}")
        _check_names(self._model.outputs, component.output_names, f"the outputs of {path}")
        self._here = threading.local()

    def run(self, feeds: Tensors) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the graph once; see `Engine.run`."""
        check_tensors(feeds, self._component.inputs, self._where)
        request = self._request()
        begin = perf_counter()
        try:
            found = request.infer(dict(feeds))
        except RuntimeError as error:
            raise FewstepError(f"expected {self._where} to run, found an error ({_reason(error)})") from None
        self.seconds = perf_counter() - begin
        # A result is a view of the request's memory, which the next call overwrites.
        outputs = {name: np.array(found[name], dtype=np.float32) for name in self._outputs}
        check_tensors(outputs, self._component.outputs, self._where)
        return outputs

    def write(self, feeds: Tensors, outputs: Tensors) -> None:
        """Runs the graph and copies; see `Engine.write`."""
        check_tensors(outputs, self._component.outputs, self._where)
        for name, result in self.run(feeds).items():
            if not outputs[name].flags.c_contiguous:
                raise FewstepError(
                    f"expected contiguous arrays, found one with strides {outputs[name].strides}, for {self._where}"
                )
            np.copyto(outputs[name], result)

    def _request(self) -> Any:
        """This thread's own: a request holds one call at a time."""
        if not hasattr(self._here, "request"):
            self._here.request = self._model.create_infer_request()
        return self._here.request


def _compiled(path: Path, threads: int | None, precision: Precision) -> Any:
    try:
        import openvino
    except ImportError as error:
        raise FewstepError(
            "expected openvino for the engine openvino, found none; install fewstep with the extra [openvino]"
        ) from error
    options: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": precision,
    }
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        return openvino.Core().compile_model(path, "CPU", options)
    except RuntimeError as error:
        raise BundleError(
            f"expected a graph that OpenVINO can load, found another one ({_reason(error)}), in {path}; choose the engine onnxruntime"
        ) from None


def _check_names(ports: list[Any], expected: Collection[str], where: str) -> None:
    """OpenVINO reads a file that is cut off as far as it goes; what is missing then is an input or an output."""
    found = {name for port in ports for name in port.get_names()}
    if len(ports) != len(expected) or not found.issuperset(expected):
        raise BundleError(
            f"expected the tensors {', '.join(sorted(expected))}, found {', '.join(sorted(found)) or 'none'}, in {where}; export the bundle again"
        )


def _reason(error: Exception) -> str:
    """The line of OpenVINO's message that names what is wrong; the first ones are places in its source."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if "No conversion rule" in line), lines[-1] if lines else "")
    return telling[:_LONGEST]
