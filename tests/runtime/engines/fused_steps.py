"""A small fused step: its signature, what it computes, what it is fed, and an engine around a stand-in for TensorRT's context."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.engines.host_memory_cuda import library_of

from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.fused import row_size
from fewstep.manifest import Component, TensorSpec
from fewstep.noise import gaussian
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
        m: np.ndarray = np.tanh(
            scale * feeds["state_0"] + text.mean(1)[:, None, None, None] + timestep / 1000
        )
        return m

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


def noise(batch: int, seed: int = 3) -> Callable[[int], np.ndarray]:
    """See `fewstep.loop.Noise`."""
    return lambda stream: np.stack([gaussian(LATENT, seed + k, stream) for k in range(batch)])


def conditions(batch: int) -> dict[str, np.ndarray]:
    """Of both branches."""
    rng = np.random.default_rng(batch)
    names = ("text_states", "negative_text_states")
    return {name: rng.standard_normal((batch, 3)).astype(np.float32) for name in names}


def load_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: Any, context: Any) -> TensorRTEngine:
    """The engine whose kernels are those of the context."""
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library_of(context, COMPONENT))
    (tmp_path / "x.engine").write_bytes(b"engine")
    return TensorRTEngine(tmp_path / "x.engine", COMPONENT, BUILD, cuda)
