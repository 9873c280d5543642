"""CUDA's calls and TensorRT's, on the host's memory: addresses are real ones, copies really copy, and a kernel is a function in NumPy.

It shows whether what an engine queues gives the right numbers, in memory that is aligned as TensorRT asks. It is neither CUDA nor
TensorRT: what these themselves do is for tests/gpu.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from fewstep.manifest import Component

Kernel = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
ALIGNMENT = 256


class HostMemoryCuda:
    """Stands for `fewstep.engines.cuda.Cuda`."""

    def __init__(self) -> None:
        self.stream, self.compute_capability = 7, "8.7"
        self.calls: list[str] = []
        self._kept: list[np.ndarray] = []
        self._recorded: list[Callable[[], object]] | None = None

    def allocate(self, size: int) -> int:
        self._kept.append(np.zeros(size + ALIGNMENT, np.uint8))
        address = self._kept[-1].ctypes.data
        return address + -address % ALIGNMENT

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        self._kept.append(np.full(shape, 7, dtype))  # not zeros: nobody promised them
        return self._kept[-1]

    def upload(self, address: int, array: np.ndarray) -> None:
        assert array.flags.c_contiguous
        self.queue("upload", lambda: ctypes.memmove(address, array.ctypes.data, array.nbytes))

    def download(self, array: np.ndarray, address: int) -> None:
        assert array.flags.c_contiguous
        self.queue("download", lambda: ctypes.memmove(array.ctypes.data, address, array.nbytes))

    def move(self, to: int, source: int, size: int) -> None:
        self.queue("move", lambda: ctypes.memmove(to, source, size))

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    @contextmanager
    def capture(self) -> Iterator[SimpleNamespace]:
        self.calls.append("begin capture")
        recorded = self._recorded = []
        yield SimpleNamespace(launch=lambda: self._launch(recorded), free=lambda: self.calls.append("free"))
        self._recorded = None
        self.calls.append("end capture")

    def queue(self, what: str, work: Callable[[], object]) -> None:
        self.calls.append(what)
        if self._recorded is None:
            work()
        else:
            self._recorded.append(work)

    def _launch(self, recorded: list[Callable[[], object]]) -> None:
        self.calls.append("launch")
        for work in recorded:
            work()


class HostMemoryContext:
    """Stands for an execution context: reads and writes where it was told that the tensors are when it was queued."""

    def __init__(self, cuda: HostMemoryCuda, component: Component, kernel: Kernel) -> None:
        self._cuda, self._component, self._kernel = cuda, component, kernel
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address % ALIGNMENT == 0, f"{name} is not aligned"
        self._addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return True

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self._shapes.clear()  # TensorRT wants all shapes again then
        self._cuda.calls.append(f"profile {profile}")
        return True

    def execute_async_v3(self, stream: int) -> bool:
        addresses, shapes = dict(self._addresses), dict(self._shapes)

        def work() -> None:
            feeds = {
                spec.name: _at(addresses[spec.name], shapes[spec.name], spec.dtype).copy()
                for spec in self._component.inputs
            }
            for name, value in self._kernel(feeds).items():
                _at(addresses[name], value.shape, "float32")[...] = value

        self._cuda.queue("execute", work)
        return True


def _at(address: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.ndarray(shape, dtype, memoryview((ctypes.c_char * size).from_address(address)))


Shape = tuple[int, ...]


def library_of(
    context: Any, component: Component, profiles: Sequence[tuple[Shape, Shape, Shape]] = ()
) -> Any:
    """A module `tensorrt_rtx` whose engine has this execution context, and these profiles of its first input."""
    names = [spec.name for spec in (*component.inputs, *component.outputs)]
    engine = SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=lambda i: names[i],
        create_runtime_config=SimpleNamespace,
        create_execution_context=lambda config: context,
        num_optimization_profiles=len(profiles),
        get_tensor_profile_shape=lambda name, i: profiles[i],
    )
    logger = type(
        "ILogger",
        (),
        {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1), "__init__": lambda self: None},
    )
    return SimpleNamespace(
        __name__="tensorrt_rtx",
        __version__="1.7.1",
        ILogger=logger,
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda content: engine),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER=1),
    )
