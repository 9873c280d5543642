"""The loop that stays on the GPU gives the latents of the host's, and is one launch from the second time on; see host_memory_cuda."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.engines.fused_steps import COMPONENT, KEPT, conditions, load_engine, noise, step
from tests.runtime.engines.host_memory_cuda import HostMemoryContext, HostMemoryCuda

from fewstep.engines import LoopEngine
from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.engines.tensorrt_buffers import Extent, shape_at
from fewstep.errors import FewstepError
from fewstep.fused import row_size, run_fused
from fewstep.samplers import compile_table


@pytest.fixture
def cuda() -> HostMemoryCuda:
    return HostMemoryCuda()


def load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda, **parts: Any
) -> TensorRTEngine:
    context = HostMemoryContext(cuda, COMPONENT, step)
    for name, part in parts.items():
        setattr(context, name, part)
    return load_engine(monkeypatch, tmp_path, cuda, context)


@pytest.mark.parametrize("sampler", ["flow-euler", "flow-dpm++2m", "flow-sde-dpm++2m"])
def test_the_latents_are_those_of_the_hosts_loop(
    sampler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine = load(monkeypatch, tmp_path, cuda)
    assert isinstance(engine, LoopEngine)
    for batch, steps, guidance in ((1, 5, 4.0), (3, 5, 4.0), (1, 5, 2.0), (1, 2, 2.0), (1, 5, 1.5)):
        table, told = compile_table(sampler, steps, 1.0), conditions(batch)

        def into(feeds: Any, outputs: Any, told: Any = told) -> None:
            for name, value in step({**feeds, **told}).items():
                outputs[name][...] = value

        *_, (_, right) = run_fused(table, noise(batch), into, KEPT, True, guidance)
        right = right.copy()
        for _ in range(3):  # plain, recorded, launched
            found = [(i, x.copy()) for i, x in engine.loop(table, noise(batch), told, guidance)]
            assert [i for i, _ in found] == [steps - 1]
            assert np.array_equal(found[0][1], right)


def test_the_third_run_is_one_launch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine, table = load(monkeypatch, tmp_path, cuda), compile_table("flow-dpm++2m", 4, 1.0)
    up = ["upload", "upload", "move", "upload", "upload"]  # rows, noise, zeros, two conditions
    queue = [*up, *["execute"] * 4, "download"]
    for expected in (
        [*queue, "synchronize"],
        ["begin capture", *queue, "end capture", "launch", "synchronize"],
        ["launch", "synchronize"],
    ):
        cuda.calls.clear()
        list(engine.loop(table, noise(1), conditions(1), 4.0))
        assert cuda.calls == expected
    # A single step afterwards reads and writes its own buffers again.
    feeds = {spec.name: np.ones(shape_at(spec, Extent(2)), np.float32) for spec in COMPONENT.inputs}
    feeds["row"] = np.arange(row_size(KEPT), dtype=np.float32)
    for name, value in engine.run(feeds).items():
        assert np.array_equal(value, step(feeds)[name])


def test_an_engine_that_cannot_be_recorded_is_run_row_by_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine = load(monkeypatch, tmp_path, cuda, is_stream_capturable=lambda stream: False)
    for _ in range(3):
        list(engine.loop(compile_table("flow-euler", 2, 1.0), noise(1), conditions(1), 4.0))
    assert "launch" not in cuda.calls and cuda.calls.count("execute") == 6


def test_what_an_earlier_run_left_does_not_spoil_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine, table = load(monkeypatch, tmp_path, cuda), compile_table("flow-dpm++2m", 3, 1.0)
    *_, (_, right) = engine.loop(table, noise(1), conditions(1), 4.0)
    right = right.copy()
    broken = {name: np.full_like(value, np.nan) for name, value in conditions(1).items()}
    *_, (_, spoiled) = engine.loop(table, noise(1), broken, 4.0)
    assert np.isnan(spoiled).all()
    *_, (_, found) = engine.loop(table, noise(1), conditions(1), 4.0)
    assert np.array_equal(found, right)


def test_threads_do_not_disturb_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    def slow(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(0.002)  # the other thread's turn
        return step(feeds)

    engine = load_engine(monkeypatch, tmp_path, cuda, HostMemoryContext(cuda, COMPONENT, slow))
    table = compile_table("flow-sde-dpm++2m", 4, 1.0)

    def draw(seed: int) -> np.ndarray:
        *_, (_, latents) = engine.loop(table, noise(1, seed), conditions(1), 4.0)
        return latents

    right = [draw(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(draw, range(8)), right, strict=True):
            assert np.array_equal(found, expected)


def test_tables_and_batches_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine = load(monkeypatch, tmp_path, cuda)
    with pytest.raises(FewstepError, match="expected a batch of at most 3, found 4"):
        list(engine.loop(compile_table("flow-euler", 2, 1.0), noise(4), conditions(4), 4.0))
    with pytest.raises(FewstepError, match="keeps at most 2 arrays, found 3"):
        list(engine.loop(compile_table("flow-dpm++3m", 6, 1.0), noise(1), conditions(1), 4.0))


def test_a_tensor_on_the_gpu_is_told_by_the_protocol_that_others_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine = load(monkeypatch, tmp_path, cuda)
    interface = engine.on_device("next_1", Extent(2)).__cuda_array_interface__
    address = (engine.buffers.device["next_1"], False)
    assert interface == {"shape": (2, 2, 4, 4), "typestr": "<f4", "data": address, "version": 3}
    assert engine.on_device("row", Extent(2)).shape == COMPONENT.inputs[0].shape
