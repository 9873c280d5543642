"""The loop on a real GPU, with torch's kernels in TensorRT's place: copies, addresses and the one CUDA graph are the engine's own.

It needs no TensorRT, and so runs on GPUs that TensorRT-RTX refuses too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.engines.fused_steps import COMPONENT, KEPT, conditions, load_engine, noise, step

from fewstep.engines.cuda import Cuda, DeviceArray
from fewstep.engines.tensorrt_buffers import Extent
from fewstep.fused import run_fused
from fewstep.samplers import compile_table

torch = pytest.importorskip("torch")


class TorchContext:
    """Stands for an execution context: computes `step` by torch, on CUDA's stream, where it was told that the tensors are."""

    def __init__(self, cuda: Cuda) -> None:
        self._stream = torch.cuda.ExternalStream(cuda.stream)
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.runs = 0

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address % 256 == 0
        self._addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.runs += 1
        with torch.cuda.stream(self._stream), torch.inference_mode():
            t = {spec.name: self._tensor(spec.name, self._shapes[spec.name]) for spec in COMPONENT.inputs}
            row = t["row"]

            def network(text: Any) -> Any:
                return torch.tanh(row[1] * t["state_0"] + text.mean(1)[:, None, None, None] + row[0] / 1000)

            m_0, m_c = network(t["negative_text_states"]), network(t["text_states"])
            m = m_0 + row[2] * (m_c - m_0)
            matrix, output, drawn = row[3 : 3 + KEPT**2], row[3 + KEPT**2 : 3 + KEPT**2 + KEPT], row[-KEPT:]
            for k in range(KEPT):
                kept = sum(matrix[k * KEPT + j] * t[f"state_{j}"] for j in range(KEPT))
                result = output[k] * m + kept + drawn[k] * t["noise"]
                self._tensor(f"next_{k}", self._shapes["state_0"]).copy_(result)
        return True

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Any:
        return torch.as_tensor(DeviceArray(self._addresses[name], shape, "float32"), device="cuda")


@pytest.mark.parametrize("sampler", ["flow-dpm++2m", "flow-sde-dpm++2m"])
def test_the_latents_are_those_of_the_hosts_loop(
    sampler: str, cuda: Cuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = TorchContext(cuda)
    engine = load_engine(monkeypatch, tmp_path, cuda, context)
    for batch, steps, guidance in ((1, 5, 4.0), (3, 5, 4.0), (1, 5, 2.0), (1, 20, 2.0)):
        table, told = compile_table(sampler, steps, 1.0), conditions(batch)

        def into(feeds: Any, outputs: Any, told: Any = told) -> None:
            for name, value in step({**feeds, **told}).items():
                outputs[name][...] = value

        *_, (_, right) = run_fused(table, noise(batch), into, KEPT, True, guidance)
        right = right.copy()
        for _ in range(4):  # plain, recorded, launched, launched
            *_, (_, found) = engine.loop(table, noise(batch), told, guidance)
            assert np.abs(found - right).max() <= 1e-4 * np.abs(right).max()
        launched = context.runs
        list(engine.loop(table, noise(batch), told, guidance))
        assert context.runs == launched  # nothing but the recording ran


def test_torch_sees_an_engines_memory_without_a_copy(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = load_engine(monkeypatch, tmp_path, cuda, TorchContext(cuda))
    seen = torch.as_tensor(engine.on_device("next_0", Extent(2)), device="cuda")
    assert seen.data_ptr() == engine.buffers.device["next_0"]
    rng = np.random.default_rng(0)
    feeds = {
        spec.name: rng.standard_normal([2 if isinstance(d, str) else d for d in spec.shape]).astype(
            np.float32
        )
        for spec in COMPONENT.inputs
    }
    found = engine.run(feeds)["next_0"]
    assert np.array_equal(seen.cpu().numpy(), found)
    assert np.abs(found - step(feeds)["next_0"]).max() < 1e-4
