"""The TensorRT engine where there is no GPU: refusals, and the order of its calls against a fake.

The fake here computes nothing that TensorRT computes: it only notes calls. What runs on a GPU is in tests/gpu.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fewstep.engines.cuda import Cuda
from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component, TensorSpec
from fewstep.variant import EngineBuild

COMPONENT = Component(
    "tensorrt/fp16/decoder.engine",
    (TensorSpec("latents", "float32", ("batch", 2)),),
    (TensorSpec("image", "float32", ("batch", 3)),),
)
BUILD = EngineBuild("tensorrt_rtx", "1.7.1", (), 2, (), "0" * 64, 1.0)


class CallOrderFakeCuda:
    """Notes calls; memory is the host's, and copies within `pinned` arrays are left out."""

    def __init__(self, calls: list[str]) -> None:
        self.calls, self.stream, self.compute_capability = calls, 7, "8.7"
        self._next = 1000

    def allocate(self, size: int) -> int:
        self._next += 1
        return self._next

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.zeros(shape, dtype)

    def upload(self, address: int, array: np.ndarray) -> None:
        self.calls.append(f"upload {array.shape}")

    def download(self, array: np.ndarray, address: int) -> None:
        self.calls.append(f"download {array.shape}")

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    @contextmanager
    def capture(self) -> Iterator[SimpleNamespace]:
        self.calls.append("begin capture")
        yield SimpleNamespace(launch=lambda: self.calls.append("launch"))
        self.calls.append("end capture")


def call_order_fake_library(calls: list[str], names: tuple[str, ...], loads: bool = True) -> Any:
    """A module that notes what is asked of it."""

    def execute(stream: int) -> bool:
        calls.append(f"execute on {stream}")
        return True

    context = SimpleNamespace(
        set_tensor_address=lambda name, address: calls.append(f"address {name}"),
        set_input_shape=lambda name, shape: calls.append(f"shape {shape}"),
        execute_async_v3=execute,
    )
    engine = SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=lambda i: names[i],
        create_runtime_config=SimpleNamespace,
        create_execution_context=lambda config: context,
    )
    severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)
    logger = type("ILogger", (), {"Severity": severity, "__init__": lambda self: None})
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda content: engine if loads else None)
    return SimpleNamespace(
        __name__="tensorrt_rtx",
        __version__="1.7.1",
        ILogger=logger,
        Runtime=lambda log: runtime,
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER=1),
    )


def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: list[str], **options: Any) -> TensorRTEngine:
    library = call_order_fake_library(calls, options.pop("names", ("latents", "image")), **options)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library)
    (tmp_path / "x.engine").write_bytes(b"engine")
    fake: Any = CallOrderFakeCuda(calls)
    return TensorRTEngine(tmp_path / "x.engine", COMPONENT, BUILD, fake)


def test_the_first_run_is_plain_the_second_is_recorded_the_third_launched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[str] = []
    engine = load(monkeypatch, tmp_path, calls)
    assert calls == ["address latents", "address image"]
    queue = ["upload (1, 2)", "execute on 7", "download (1, 3)"]
    feeds = {"latents": np.ones((1, 2), np.float32)}
    for expected in (
        ["shape (1, 2)", *queue, "synchronize"],
        ["shape (1, 2)", "begin capture", *queue, "end capture", "launch", "synchronize"],
        ["launch", "synchronize"],
    ):
        calls.clear()
        assert engine.run(feeds)["image"].shape == (1, 3)
        assert calls == expected
    calls.clear()
    engine.run({"latents": np.ones((2, 2), np.float32)})  # another batch size has its own recording
    assert calls[0] == "shape (2, 2)" and "launch" not in calls


def test_larger_batches_and_other_tensors_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = load(monkeypatch, tmp_path, [])
    with pytest.raises(FewstepError, match="expected a batch of at most 2, found 3"):
        engine.run({"latents": np.ones((3, 2), np.float32)})
    with pytest.raises(FewstepError, match="expected float32"):
        engine.run({"latents": np.ones((1, 2), np.float64)})
    with pytest.raises(BundleError, match="expected the tensors image, latents, found latents"):
        load(monkeypatch, tmp_path, [], names=("latents",))


def test_an_engine_of_another_version_or_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        BundleError, match=r"on a GPU of compute capability 8\.7, found one of version 1\.7\.1"
    ):
        load(monkeypatch, tmp_path, [], loads=False)


def test_without_cuda_the_engine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewstep.engines.cuda._LIBRARIES", ("libnone.so",))
    monkeypatch.setattr("fewstep.engines.cuda.find_library", lambda name: None)
    with pytest.raises(FewstepError, match=r"expected CUDA's runtime \(libcudart\)"):
        Cuda()
