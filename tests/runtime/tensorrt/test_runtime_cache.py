"""Kernels of TensorRT-RTX kept from start to start, against a fake that notes calls and compiles nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fewstep.tensorrt.runtime_cache import RuntimeCache


def call_order_fake_engine(calls: list[str]) -> Any:
    """An engine whose runtime cache gets one byte longer with each context."""
    held = [b""]

    def deserialize(content: bytes) -> bool:
        calls.append(f"read {content!r}")
        held[0] = content
        return True

    cache = SimpleNamespace(deserialize=deserialize, serialize=lambda: held[0] + b"+")
    config = SimpleNamespace(
        create_runtime_cache=lambda: cache, set_runtime_cache=lambda c: calls.append("set cache")
    )

    def create_execution_context(*given: Any) -> str:
        calls.append(f"context of {len(given)}")
        return "context"

    return SimpleNamespace(
        create_runtime_config=lambda: config, create_execution_context=create_execution_context
    )


def library(name: str) -> Any:
    return SimpleNamespace(
        __name__=name, DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager")
    )


def test_what_one_start_compiled_the_next_one_reads(tmp_path: Path) -> None:
    calls: list[str] = []
    for expected in (["set cache", "context of 1"], ["read b'+'", "set cache", "context of 1"]):
        calls.clear()
        cache = RuntimeCache(tmp_path / "new", b"engine")
        assert cache.context(library("tensorrt_rtx"), call_order_fake_engine(calls)) == "context"
        cache.keep()
        assert calls == expected
    (file,) = (tmp_path / "new").iterdir()
    assert file.read_bytes() == b"++"
    calls.clear()
    RuntimeCache(tmp_path / "new", b"other").context(library("tensorrt_rtx"), call_order_fake_engine(calls))
    assert "read" not in " ".join(calls)


def test_tensorrt_has_none_and_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    calls: list[str] = []
    for name, folder, expected in (
        ("tensorrt", tmp_path, "context of 0"),
        ("tensorrt_rtx", None, "context of 1"),
    ):
        calls.clear()
        cache = RuntimeCache(folder, b"engine")
        cache.context(library(name), call_order_fake_engine(calls))
        cache.keep()
        assert calls == [expected]
    assert not list(tmp_path.iterdir())
