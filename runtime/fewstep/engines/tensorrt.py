"""TensorRT on an NVIDIA GPU: engines of `tensorrt` or `tensorrt_rtx`. Checked for types, refusals and the order of calls alone (docs/tensorrt.md).

Inputs and outputs have buffers on the GPU for the largest batch and size, made once. From its second run on, a batch of a size is one
recorded CUDA graph: copies in, kernels, copies out into pinned memory, a single launch. Another size may need another optimisation
profile, and then recordings are made anew. A graph that holds a whole step of the sampler runs its
loop on the GPU, see `fewstep.engines.tensorrt_loop`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from fewstep.engines import Tensors, check_tensors
from fewstep.engines.cuda import Cuda, DeviceArray, Recording
from fewstep.engines.tensorrt_buffers import Buffers, Extent, batched, shape_at, sized
from fewstep.engines.tensorrt_loop import FusedLoop
from fewstep.engines.tensorrt_profiles import Profiles
from fewstep.errors import BundleError, FewstepError
from fewstep.loop import Noise
from fewstep.step_table import StepTable
from fewstep.tensorrt.library import Name, load_library, log_of
from fewstep.tensorrt.refit import refit, source_of
from fewstep.tensorrt.runtime_cache import RuntimeCache
from fewstep.variant import Component, EngineBuild


class TensorRTEngine:
    """One component in TensorRT.

    Args:
        path: the engine file, already verified.
        component: its signature, which the engine must have.
        build: how it was made.
        cuda: the GPU; None takes the first one.
        cache: a folder of this machine for kernels that TensorRT-RTX compiles; None compiles them at each start.

    Raises:
        FewstepError: TensorRT or a GPU is missing.
        BundleError: the engine is for another version or another GPU, or has another signature.
    """

    def __init__(
        self,
        path: Path,
        component: Component,
        build: EngineBuild,
        cuda: Cuda | None = None,
        cache: Path | None = None,
    ) -> None:
        self.seconds = 0.0
        self.component, self.where, self.max_batch = component, component.file, build.max_batch
        library = _library(build)
        self.cuda = cuda or Cuda()
        self._log = log_of(library)
        self._runtime = library.Runtime(self._log)
        if "version-compatible" in build.flags:
            self._runtime.engine_host_code_allowed = True  # such an engine brings the runtime that it needs
        content = path.read_bytes()
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise BundleError(_refusal(path, build, library, self.cuda, self._log.messages))
        if "weights-stripped" in build.flags:
            refit(library, self._engine, source_of(path), build, self._log)
        self._check_signature()
        self.cache = RuntimeCache(cache, content)
        self.context = self.cache.context(library, self._engine)
        self._sized = sized(component)
        self._profiles = Profiles(self._engine, self._sized.name if self._sized else None)
        self._profile = 0
        self.buffers = Buffers(self.cuda, component, self._profiles.largest(build.max_batch))
        self.bind(self.buffers.device)
        self.lock = Lock()  # of the buffers: several threads may draw at once
        self._recordings: dict[Extent, Recording] = {}
        self._warm: set[Extent] = set()
        self._loop: FusedLoop | None = None

    def run(self, feeds: Tensors) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the engine once; see `Engine.run`."""
        extent = self._extent(feeds)
        outputs = {spec.name: np.empty(shape_at(spec, extent), spec.dtype) for spec in self.component.outputs}
        self.write(feeds, outputs)
        return outputs

    def write(self, feeds: Tensors, outputs: Tensors) -> None:
        """Runs the engine once into the caller's arrays; see `Engine.write`."""
        check_tensors(feeds, self.component.inputs, self.where)
        check_tensors(outputs, self.component.outputs, self.where)
        extent = self._extent(feeds)
        self.require_batch(extent.batch)
        profile = self._profiles.choose(extent, self.where)
        with self.lock:
            begin = perf_counter()
            self._take(profile)
            for spec in self.component.inputs:
                np.copyto(self.buffers.at(spec, extent), feeds[spec.name])
            self._execute(extent)
            self.cuda.synchronize()
            for spec in self.component.outputs:
                np.copyto(outputs[spec.name], self.buffers.at(spec, extent))
            self.seconds = perf_counter() - begin

    def loop(
        self, table: StepTable, noise: Noise, conditions: Tensors, guidance: float
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Runs every row of a table without leaving the GPU; for a graph that holds a step. See `FusedLoop.run`."""
        with self.lock:
            self._loop = self._loop or FusedLoop(self)
        return self._loop.run(table, noise, conditions, guidance)

    def on_device(self, name: str, extent: Extent) -> DeviceArray:
        """An input or output where it lies on the GPU, for who wants it there; the next run writes it again.

        Raises:
            KeyError: there is no tensor of that name.
        """
        specs = {spec.name: spec for spec in (*self.component.inputs, *self.component.outputs)}
        spec = specs[name]
        return DeviceArray(self.buffers.device[name], shape_at(spec, extent), spec.dtype)

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Says where on the GPU the tensors of these names are from now on."""
        for name, address in addresses.items():
            self.context.set_tensor_address(name, address)

    def set_extent(self, extent: Extent) -> None:
        """Tells the engine the batch and the size of what it is run on next."""
        for spec in self.component.inputs:
            self.context.set_input_shape(spec.name, shape_at(spec, extent))

    def queue(self) -> None:
        """Queues the kernels alone.

        Raises:
            FewstepError: TensorRT does not take them.
        """
        if not self.context.execute_async_v3(self.cuda.stream):
            raise FewstepError(f"expected {self.where} to run, found an error ({_first(self._log.messages)})")

    @property
    def recordable(self) -> bool:
        """Whether runs may become a CUDA graph; TensorRT-RTX says so of each engine, TensorRT takes all that have no control flow."""
        asked = getattr(self.context, "is_stream_capturable", None)
        return asked is None or bool(asked(self.cuda.stream))

    def require_batch(self, batch: int) -> None:
        """Whether the buffers are large enough.

        Raises:
            FewstepError: they are not.
        """
        if batch > self.max_batch:
            raise FewstepError(
                f"expected a batch of at most {self.max_batch}, found {batch}, for {self.where}; export with a larger "
                "--max-batch"
            )

    def _take(self, profile: int) -> None:
        """Changes to another optimisation profile; what was recorded in the old one is no use any more."""
        if profile == self._profile:
            return
        if not self.context.set_optimization_profile_async(profile, self.cuda.stream):
            raise FewstepError(
                f"expected {self.where} to take its profile {profile}, found an error ({_first(self._log.messages)})"
            )
        for recording in self._recordings.values():
            recording.free()
        self._recordings.clear()
        self._warm.clear()
        self._profile = profile

    def _execute(self, extent: Extent) -> None:
        """Queues a run: the first one of an extent plainly, since TensorRT sets itself up then, the later ones as a recording."""
        if extent in self._recordings:
            self._recordings[extent].launch()
            return
        self.set_extent(extent)
        if extent not in self._warm or not self.recordable:
            self._queue(extent)
            if extent not in self._warm:
                self._warm.add(extent)
                self.cache.keep()
            return
        with self.cuda.capture() as recording:
            self._queue(extent)
        self._recordings[extent] = recording
        recording.launch()

    def _queue(self, extent: Extent) -> None:
        for spec in self.component.inputs:
            self.cuda.upload(self.buffers.device[spec.name], self.buffers.at(spec, extent))
        self.queue()
        for spec in self.component.outputs:
            self.cuda.download(self.buffers.at(spec, extent), self.buffers.device[spec.name])

    def _extent(self, feeds: Tensors) -> Extent:
        """The batch of the inputs, 1 if none has one, and the sides of the latents where they are free."""
        sizes = (len(feeds[s.name]) for s in self.component.inputs if batched(s) and s.name in feeds)
        sides = feeds[self._sized.name].shape[2:4] if self._sized and self._sized.name in feeds else ()
        return Extent(next(sizes, 1), *sides)

    def _check_signature(self) -> None:
        names = {self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)}
        expected = {spec.name for spec in (*self.component.inputs, *self.component.outputs)}
        if names != expected:
            raise BundleError(
                f"expected the tensors {', '.join(sorted(expected))}, found {', '.join(sorted(names))}, in {self.where}; "
                "export the bundle again"
            )


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
