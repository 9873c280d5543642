"""The few calls of CUDA's runtime that an engine needs, through ctypes: wherever TensorRT is, libcudart is too, and no package more.

Function names and numbers are those of cuda_runtime_api.h, the same from CUDA 11 to 13.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_ulonglong, c_void_p
from ctypes.util import find_library
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError

_LIBRARIES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
_TO_DEVICE, _TO_HOST, _ON_DEVICE = 1, 2, 3  # cudaMemcpyKind
_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal: other threads may go on allocating
_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor, -Minor


class Cuda:
    """A GPU with one stream.

    Raises:
        FewstepError: there is no CUDA runtime, or no GPU that it can use.
    """

    def __init__(self) -> None:
        self._library = _load()
        count = c_int()
        self._call("cudaGetDeviceCount", byref(count))
        if not count.value:
            raise FewstepError("expected a GPU for this engine, found none; choose another --variant")
        stream = c_void_p()
        self._call("cudaStreamCreate", byref(stream))
        self.stream = int(stream.value or 0)

    @property
    def compute_capability(self) -> str:
        """Of the first GPU, like "8.7"."""
        major, minor = c_int(), c_int()
        self._call("cudaDeviceGetAttribute", byref(major), _MAJOR, 0)
        self._call("cudaDeviceGetAttribute", byref(minor), _MINOR, 0)
        return f"{major.value}.{minor.value}"

    def allocate(self, size: int) -> int:
        """The address of so many bytes on the GPU, zeroed; they live as long as the process or until `free`."""
        pointer = c_void_p()
        self._call("cudaMalloc", byref(pointer), c_size_t(max(size, 1)))
        self._call("cudaMemset", pointer, 0, c_size_t(max(size, 1)))
        return int(pointer.value or 0)

    def free(self, address: int) -> None:
        """Gives memory of `allocate` back."""
        self._call("cudaFree", c_void_p(address))

    def pinned(self, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        """An array of the host that the GPU copies to and from directly; it is never given back."""
        count, item = int(np.prod(shape)), np.dtype(dtype)
        pointer = c_void_p()
        self._call("cudaMallocHost", byref(pointer), c_size_t(max(count * item.itemsize, 1)))
        buffer = (ctypes.c_char * (count * item.itemsize)).from_address(int(pointer.value or 0))
        return np.ndarray(shape, item, memoryview(buffer))

    def upload(self, address: int, array: npt.NDArray[Any]) -> None:
        """Queues a copy to the GPU; the array must be contiguous and stay until `synchronize`."""
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def download(self, array: npt.NDArray[Any], address: int) -> None:
        """Queues a copy from the GPU into a contiguous array."""
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST)

    def move(self, to: int, source: int, size: int) -> None:
        """Queues a copy on the GPU."""
        self._copy(to, source, size, _ON_DEVICE)

    def synchronize(self) -> None:
        """Waits for everything that is queued."""
        self._call("cudaStreamSynchronize", c_void_p(self.stream))

    @contextmanager
    def capture(self) -> Iterator["Recording"]:
        """Records what the block queues instead of running it; the recording is whole when the block has ended."""
        recording = Recording(self)
        self._call("cudaStreamBeginCapture", c_void_p(self.stream), _THREAD_LOCAL)
        graph = c_void_p()
        try:
            yield recording
        finally:
            self._call("cudaStreamEndCapture", c_void_p(self.stream), byref(graph))
        executable = c_void_p()
        # By its own name since CUDA 11.4; cudaGraphInstantiate changed its arguments with CUDA 12.
        self._call("cudaGraphInstantiateWithFlags", byref(executable), graph, c_ulonglong(0))
        self._call("cudaGraphDestroy", graph)
        recording.executable = int(executable.value or 0)

    def launch(self, executable: int) -> None:
        """Queues a recording."""
        self._call("cudaGraphLaunch", c_void_p(executable), c_void_p(self.stream))

    def forget(self, executable: int) -> None:
        """Gives the memory of a recording back."""
        self._call("cudaGraphExecDestroy", c_void_p(executable))

    def _copy(self, to: int, source: int, size: int, kind: int) -> None:
        stream = c_void_p(self.stream)
        self._call("cudaMemcpyAsync", c_void_p(to), c_void_p(source), c_size_t(size), kind, stream)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            describe = self._library.cudaGetErrorString
            describe.restype = c_char_p
            said = describe(code).decode()
            raise FewstepError(
                f"expected {name} of CUDA to work, found error {code}, {said}; is the driver new enough?"
            )


@dataclass(frozen=True)
class DeviceArray:
    """Memory on the GPU under the protocol that torch, cupy and cuda-python share: `torch.as_tensor(array)` copies nothing.

    Args:
        address: of contiguous numbers; who made it keeps it alive.
        shape: sizes.
        dtype: NumPy's name of their type.
    """

    address: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def __cuda_array_interface__(self) -> Mapping[str, object]:
        """Version 3, without a stream: synchronise before you look."""
        kind = np.dtype(self.dtype).str
        return {"shape": self.shape, "typestr": kind, "data": (self.address, False), "version": 3}


class Recording:
    """Work that was recorded and can be run again and again."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.executable = 0

    def launch(self) -> None:
        """Queues all of it in one call."""
        self._cuda.launch(self.executable)

    def free(self) -> None:
        """Gives its memory back; it cannot be run any more."""
        self._cuda.forget(self.executable)


def _load() -> ctypes.CDLL:
    for name in filter(None, (*_LIBRARIES, find_library("cudart"))):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise FewstepError(
        "expected CUDA's runtime (libcudart) for this engine, found none; choose another --variant, or install CUDA"
    )
