"""TensorRT on an NVIDIA GPU: engines of `tensorrt` or `tensorrt_rtx`. Checked for types, refusals and the order of calls alone (docs/tensorrt.md).

Inputs and outputs have buffers on the GPU for the largest batch, made once. From its second run on, a batch size is one recorded
CUDA graph: copies in, kernels, copies out into pinned memory, a single launch.
"""

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from fewstep.engines import Tensors, check_tensors
from fewstep.engines.cuda import Cuda, Recording
from fewstep.errors import BundleError, FewstepError
from fewstep.tensorrt.library import Name, load_library, log_of
from fewstep.variant import Component, EngineBuild, TensorSpec

Array = npt.NDArray[Any]


class TensorRTEngine:
    """One component in TensorRT.

    Args:
        path: the engine file, already verified.
        component: its signature, which the engine must have.
        build: how it was made.
        cuda: the GPU; None takes the first one.

    Raises:
        FewstepError: TensorRT or a GPU is missing.
        BundleError: the engine is for another version or another GPU, or has another signature.
    """

    def __init__(
        self, path: Path, component: Component, build: EngineBuild, cuda: Cuda | None = None
    ) -> None:
        self.seconds = 0.0
        self._component, self._where = component, component.file
        library = _library(build)
        self.cuda = cuda or Cuda()
        self._log = log_of(library)
        self._runtime = library.Runtime(self._log)
        if "version-compatible" in build.flags:
            self._runtime.engine_host_code_allowed = True  # such an engine brings the runtime that it needs
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise BundleError(_refusal(path, build, library, self.cuda, self._log.messages))
        self._check_signature()
        self.context = self._engine.create_execution_context()
        self._buffers = _Buffers(self.cuda, component, build.max_batch)
        for name, address in self._buffers.device.items():
            self.context.set_tensor_address(name, address)
        self._recordings: dict[int, Recording] = {}
        self._warm: set[int] = set()

    def run(self, feeds: Tensors) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the engine once; see `Engine.run`."""
        outputs = {
            spec.name: np.empty((_batch(feeds), *_sizes(spec)), spec.dtype)
            for spec in self._component.outputs
        }
        self.write(feeds, outputs)
        return outputs

    def write(self, feeds: Tensors, outputs: Tensors) -> None:
        """Runs the engine once into the caller's arrays; see `Engine.write`."""
        check_tensors(feeds, self._component.inputs, self._where)
        check_tensors(outputs, self._component.outputs, self._where)
        batch = _batch(feeds)
        if batch > self._buffers.max_batch:
            raise FewstepError(
                f"expected a batch of at most {self._buffers.max_batch}, found {batch}, for {self._where}; export with a larger "
                "--max-batch"
            )
        begin = perf_counter()
        for name, array in feeds.items():
            np.copyto(self._buffers.host[name][:batch], array)
        self._execute(batch)
        self.cuda.synchronize()
        for name, array in outputs.items():
            np.copyto(array, self._buffers.host[name][:batch])
        self.seconds = perf_counter() - begin

    def _execute(self, batch: int) -> None:
        """Queues a run: the first one of a batch size plainly, since TensorRT sets itself up then, the later ones as a recording."""
        if batch in self._recordings:
            self._recordings[batch].launch()
            return
        for spec in self._component.inputs:
            self.context.set_input_shape(spec.name, (batch, *_sizes(spec)))
        if batch not in self._warm:
            self._queue(batch)
            self._warm.add(batch)
            return
        with self.cuda.capture() as recording:
            self._queue(batch)
        self._recordings[batch] = recording
        recording.launch()

    def _queue(self, batch: int) -> None:
        for spec in self._component.inputs:
            self.cuda.upload(self._buffers.device[spec.name], self._buffers.host[spec.name][:batch])
        if not self.context.execute_async_v3(self.cuda.stream):
            raise FewstepError(
                f"expected {self._where} to run, found an error ({_first(self._log.messages)})"
            )
        for spec in self._component.outputs:
            self.cuda.download(self._buffers.host[spec.name][:batch], self._buffers.device[spec.name])

    def _check_signature(self) -> None:
        names = {self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)}
        expected = {spec.name for spec in (*self._component.inputs, *self._component.outputs)}
        if names != expected:
            raise BundleError(
                f"expected the tensors {', '.join(sorted(expected))}, found {', '.join(sorted(names))}, in {self._where}; "
                "export the bundle again"
            )


class _Buffers:
    """Memory for every tensor at the largest batch, on the GPU and pinned on the host."""

    def __init__(self, cuda: Cuda, component: Component, max_batch: int) -> None:
        self.max_batch = max_batch
        specs = (*component.inputs, *component.outputs)
        self.host: Mapping[str, Array] = {
            spec.name: cuda.pinned((max_batch, *_sizes(spec)), spec.dtype) for spec in specs
        }
        self.device = {name: cuda.allocate(array.nbytes) for name, array in self.host.items()}


def _library(build: EngineBuild) -> Any:
    for name in get_args(Name):
        if build.library == name:
            return load_library(name)
    raise BundleError(
        f"expected an engine of tensorrt or tensorrt_rtx, found {build.library}; update fewstep"
    )


def _refusal(path: Path, build: EngineBuild, library: Any, cuda: Cuda, messages: list[str]) -> str:
    gpus = ", ".join(build.compute_capabilities) or "the library's default"
    return (
        f"expected an engine that {library.__name__} {library.__version__} loads on a GPU of compute capability "
        f"{cuda.compute_capability}, found one of version {build.version} for {gpus}, in {path}; build it on this machine "
        f"with `fewstep-jetson build` ({_first(messages)})"
    )


def _first(messages: list[str]) -> str:
    return messages[0][:200] if messages else "no reason given"


def _batch(feeds: Tensors) -> int:
    return len(next(iter(feeds.values())))


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    """The shape without the batch."""
    sizes = spec.shape[1:]
    if not all(isinstance(size, int) for size in sizes):
        raise BundleError(
            f"expected no free dimension but the batch, found {list(spec.shape)}, for tensor '{spec.name}'"
        )
    return tuple(int(size) for size in sizes)
