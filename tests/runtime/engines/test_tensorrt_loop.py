"""The loop that stays on the GPU gives the latents of the host's, and is one launch from the second time on; see host_memory_cuda."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.engines.host_memory_cuda import HostMemoryCuda, library

from fewstep.engines import LoopEngine
from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.errors import FewstepError
from fewstep.fused import row_size, run_fused
from fewstep.manifest import Component, TensorSpec
from fewstep.noise import gaussian
from fewstep.samplers import compile_table
from fewstep.variant import EngineBuild

KEPT, LATENT = 2, (2, 4, 4)
BATCH = ("batch", *LATENT)
COMPONENT = Component(
    "tensorrt/fp16/fused_step.engine",
    (
        TensorSpec("row", "float32", (row_size(KEPT),)),
        *(TensorSpec(f"state_{k}", "float32", BATCH) for k in range(KEPT)),
        TensorSpec("noise", "float32", BATCH),
        TensorSpec("text_states", "float32", ("batch", 3)),
        TensorSpec("negative_text_states", "float32", ("batch", 3)),
    ),
    tuple(TensorSpec(f"next_{k}", "float32", BATCH) for k in range(KEPT)),
)
BUILD = EngineBuild("tensorrt_rtx", "1.7.1", (), 3, (), "0" * 64, 1.0)


def step(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A fused step around a network that depends on everything it is told."""
    row = feeds["row"]
    timestep, scale, guidance = row[:3]
    matrix = row[3 : 3 + KEPT**2].reshape(KEPT, KEPT)
    output, noise = row[3 + KEPT**2 :].reshape(2, KEPT)

    def network(text: np.ndarray) -> np.ndarray:
        return np.tanh(scale * feeds["state_0"] + text.mean(1)[:, None, None, None] + timestep / 1000)

    m_0, m_c = network(feeds["negative_text_states"]), network(feeds["text_states"])
    m = m_0 + guidance * (m_c - m_0)
    return {
        f"next_{k}": (
            output[k] * m
            + sum(matrix[k, j] * feeds[f"state_{j}"] for j in range(KEPT))
            + noise[k] * feeds["noise"]
        ).astype(np.float32)
        for k in range(KEPT)
    }


def noise(batch: int, seed: int = 3) -> Any:
    return lambda stream: np.stack([gaussian(LATENT, seed + k, stream) for k in range(batch)])


def conditions(batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch)
    names = ("text_states", "negative_text_states")
    return {name: rng.standard_normal((batch, 3)).astype(np.float32) for name in names}


@pytest.fixture
def cuda() -> HostMemoryCuda:
    return HostMemoryCuda()


def load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda, **parts: Any
) -> TensorRTEngine:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library(cuda, COMPONENT, step, **parts))
    (tmp_path / "x.engine").write_bytes(b"engine")
    gpu: Any = cuda
    return TensorRTEngine(tmp_path / "x.engine", COMPONENT, BUILD, gpu)


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
    feeds = {spec.name: np.ones((2, *spec.shape[1:]), np.float32) for spec in COMPONENT.inputs[1:]}
    feeds["row"] = np.arange(row_size(KEPT), dtype=np.float32)
    for name, value in engine.run(feeds).items():
        assert np.array_equal(value, step(feeds)[name])


def test_an_engine_that_cannot_be_recorded_is_run_row_by_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine = load(monkeypatch, tmp_path, cuda, context={"is_stream_capturable": lambda stream: False})
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


def test_tables_and_batches_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda
) -> None:
    engine = load(monkeypatch, tmp_path, cuda)
    with pytest.raises(FewstepError, match="expected a batch of at most 3, found 4"):
        list(engine.loop(compile_table("flow-euler", 2, 1.0), noise(4), conditions(4), 4.0))
    with pytest.raises(FewstepError, match="keeps at most 2 arrays, found 3"):
        list(engine.loop(compile_table("flow-dpm++3m", 6, 1.0), noise(1), conditions(1), 4.0))
