"""The sampler's loop on the GPU, around an engine that holds a step: one launch a picture, nothing copied in between.

Noise, conditions and the rows of the table go up once, the last latents come down once. The kept arrays lie in two sets of buffers that
swap their roles at every row, as in `fewstep.fused`. A run of so many rows and pictures is recorded when it comes for the second time:
then all of it, copies included, is one CUDA graph.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fewstep.engines import Tensors
from fewstep.engines.cuda import Recording
from fewstep.engines.tensorrt_buffers import Extent
from fewstep.fused import pack_row, require_fit
from fewstep.loop import Noise
from fewstep.loop_form import buffers
from fewstep.noise import INITIAL_STREAM
from fewstep.step_table import StepTable

if TYPE_CHECKING:
    from fewstep.engines.tensorrt import TensorRTEngine

Array = npt.NDArray[np.float32]
_ALIGNMENT = 256  # bytes; of every address that TensorRT is given


@dataclass(frozen=True)
class Plan:
    """What a recording depends on: pictures, rows, and which of the rows draw noise."""

    batch: int
    rows: int
    draws: tuple[bool, ...]


class FusedLoop:
    """The loop of an engine; its memory and its recordings are kept from run to run.

    Args:
        engine: of a graph with the inputs ``row``, ``state_0`` ... and perhaps ``noise``, and the outputs ``next_0`` ...
    """

    def __init__(self, engine: "TensorRTEngine") -> None:
        self._engine, self._cuda = engine, engine.cuda
        names = engine.component.input_names
        self._kept, self._stochastic = buffers(names), "noise" in names
        self._latents = engine.buffers.host["state_0"]  # (max_batch, C, h, w)
        size = self._latents.nbytes
        self._state = [[self._cuda.allocate(size) for _ in range(self._kept)] for _ in range(2)]
        self._silence = self._cuda.allocate(size)  # zeros
        self._memory: dict[Plan, _Memory] = {}

    def run(
        self, table: StepTable, noise: Noise, conditions: Tensors, guidance: float
    ) -> Iterator[tuple[int, Array]]:
        """Yields (i, latents) once, after the last row i; the latents (B, C, h, w) are the caller's.

        Args:
            table: what to run.
            noise: see `fewstep.loop.Noise`.
            conditions: of both branches, as the graph takes them.
            guidance: scale, for a graph with guidance inside.

        Raises:
            FewstepError: the table keeps more arrays than the graph, or draws noise that it does not take; the batch is too large.
        """
        require_fit(table, self._kept, self._stochastic)
        initial = noise(INITIAL_STREAM)
        self._engine.require_batch(len(initial))
        draws = tuple(any(row.noise) for row in table.rows)
        plan = Plan(len(initial), len(table.rows), draws)
        with self._engine.lock:
            if plan not in self._memory:
                self._memory[plan] = _Memory(self._engine, plan, self._latents)
            memory = self._memory[plan]
            begin = perf_counter()
            self._fill(memory, table, noise, initial, conditions, guidance)
            self._execute(plan, memory)
            self._cuda.synchronize()
            self._engine.seconds = perf_counter() - begin
            latents = memory.latents.copy()
        yield plan.rows - 1, latents

    def _fill(
        self,
        memory: "_Memory",
        table: StepTable,
        noise: Noise,
        initial: Array,
        conditions: Tensors,
        guidance: float,
    ) -> None:
        """Writes what goes up into pinned memory."""
        np.multiply(initial, np.float32(table.initial_scale), out=memory.initial)
        for i, row in enumerate(table.rows):
            packed = pack_row(row, self._kept, guidance)
            memory.rows[i, : len(packed)] = packed
            if memory.plan.draws[i]:
                np.copyto(memory.noise[i], noise(i + 1))
        for name, value in conditions.items():
            np.copyto(self._engine.buffers.host[name][: memory.plan.batch], value)

    def _execute(self, plan: Plan, memory: "_Memory") -> None:
        if memory.recording is not None:
            memory.recording.launch()
            return
        self._engine.set_extent(Extent(plan.batch))
        if not memory.warm or not self._engine.recordable:
            self._queue(plan, memory)
            if not memory.warm:
                memory.warm = True
                self._engine.cache.keep()
            return
        with self._cuda.capture() as recording:
            self._queue(plan, memory)
        memory.recording = recording
        recording.launch()

    def _queue(self, plan: Plan, memory: "_Memory") -> None:
        """Queues the copies up, every row, and the copy down."""
        state, after = self._state
        self._cuda.upload(memory.rows_there, memory.rows)
        self._cuda.upload(state[0], memory.initial)
        for address in state[1:]:  # whatever an earlier run left there: 0 times infinity is not 0
            self._cuda.move(address, self._silence, memory.initial.nbytes)
        for i, address in memory.noise_there.items():
            self._cuda.upload(address, memory.noise[i])
        for spec in self._engine.component.inputs:
            if not spec.name.startswith("state_") and spec.name not in ("row", "noise"):
                here = self._engine.buffers.at(spec, Extent(plan.batch))
                self._cuda.upload(self._engine.buffers.device[spec.name], here)
        for i in range(plan.rows):
            self._engine.bind(self._addresses(memory, i, state, after))
            self._engine.queue()
            state, after = after, state
        self._cuda.download(memory.latents, state[0])
        self._engine.bind(self._engine.buffers.device)  # for a run of a single step

    def _addresses(self, memory: "_Memory", i: int, state: list[int], after: list[int]) -> Mapping[str, int]:
        addresses = {"row": memory.rows_there + i * memory.rows.strides[0]}
        addresses |= {f"state_{k}": address for k, address in enumerate(state)}
        addresses |= {f"next_{k}": address for k, address in enumerate(after)}
        return addresses | ({"noise": memory.noise_there.get(i, self._silence)} if self._stochastic else {})


class _Memory:
    """What the runs of a plan read and write: pinned on the host, and on the GPU."""

    def __init__(self, engine: "TensorRTEngine", plan: Plan, latents: Array) -> None:
        self.plan = plan
        self.warm = False
        self.recording: Recording | None = None
        shape = (plan.batch, *latents.shape[1:])
        size = engine.buffers.host["row"].nbytes
        stride = -(-size // _ALIGNMENT) * _ALIGNMENT // np.dtype(np.float32).itemsize
        cuda = engine.cuda
        self.rows = cuda.pinned((plan.rows, stride), "float32")
        self.rows_there = cuda.allocate(self.rows.nbytes)
        self.initial, self.latents = (cuda.pinned(shape, "float32") for _ in range(2))
        drawn = [i for i, draws in enumerate(plan.draws) if draws]
        self.noise = {i: cuda.pinned(shape, "float32") for i in drawn}
        self.noise_there = {i: cuda.allocate(array.nbytes) for i, array in self.noise.items()}
