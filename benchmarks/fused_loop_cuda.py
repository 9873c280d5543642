"""How much of the sampler's loop should be on the GPU: six forms of it beside each other, with torch.compile and CUDA graphs.

    PYTHONPATH=runtime:models python benchmarks/fused_loop_cuda.py --output fused_loop_cuda.json --diffusers diffusers-0.39.0-py3-none-any.whl

It stands in for TensorRT where that cannot run, as on an H100, whose compute capability 9.0 TensorRT-RTX refuses. The denoiser of emoji-128
(with random weights if its file is not there) is compiled by Inductor, and computes in half precision around float32 latents and a
float32 embedding of time, as an exported graph does. Forms of the loop over N evaluations:

    network     the network's CUDA graph N times and nothing else: the sum of the graphs
    host        fewstep.loop and fewstep.guidance in NumPy; a CUDA graph of copies in, network and copies out at each evaluation, as
                fewstep.engines.tensorrt has it
    device      the network's CUDA graph at each evaluation, guidance and the table's row as torch operations on the GPU
    fused       what comes before the network, the network, and guidance with the row, each compiled: one CUDA graph, launched N times
    whole       the same N times in one CUDA graph, launched once
    diffusers   its FlowMatchEulerDiscreteScheduler around the eager network, as SanaPipeline calls it; and around the CUDA graph

A run begins with noise on the GPU and ends when the latents are there (in `host`: both in NumPy). One run of every form a round; medians, and
ratios to `network` and to `whole` round by round. `difference` is that of the final latents from those of `host`, relative to their largest number. Without a
GPU it runs a tiny network in float32 without compilation, which measures nothing. Cases that --budget leaves no time for are named. A
wheel of diffusers is enough where huggingface_hub, requests and filelock are installed; without it the file says so.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fewstep.fused import pack_row, row_size
from fewstep.guidance import GuidanceConfig, guide
from fewstep.loop import Array, run
from fewstep.samplers import compile_table
from fewstep.step_table import StepTable
from fewstep_models.checkpoint import CheckpointConfig
from fewstep_models.sana import SanaConfig, SanaDenoiser

ZOO = Path(__file__).parents[1] / "models/fewstep_models/zoo/emoji-128"
TINY = SanaConfig(
    size=8, width=32, depth=2, head_channels=16, cross_head_channels=16, text_dim=24, time_dim=32
)
STEPS = {"cuda": (1, 4, 20), "cpu": (1, 4)}
ROWS, TOKENS, SCALE = 32, 32, 4.0
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
Run = Callable[[], Tensor]
"""One run of a loop: final latents (1, C, h, w) float32."""
Conditions = tuple[Tensor, Tensor]


class Network(nn.Module):
    """The denoiser in half precision around float32: latents (B, C, h, w), timestep (B,) -> velocity of that shape."""

    def __init__(self, denoiser: SanaDenoiser, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.denoiser = denoiser.to(dtype)
        self.denoiser.time.float()

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        out: Tensor = self.denoiser(latents.to(self.dtype), timestep, text_states.to(self.dtype), text_mask)
        return out.float()


@dataclass(frozen=True)
class Case:
    """What every form computes; the unconditional branch stands first.

    Attributes:
        network: eager.
        compiled: the same, compiled.
        step: a row: `before`, the network and `after`, compiled.
        conditions: text states (B, L, D) and mask (B, L), with B = 2 under guidance.
        noise: (1, C, h, w) float32.
    """

    network: nn.Module
    compiled: Callable[..., Tensor]
    step: Callable[..., None]
    conditions: Conditions
    noise: Tensor

    @property
    def batch(self) -> int:
        """2 with guidance, else 1."""
        return len(self.conditions[0])


def guided(m: Tensor, scale: Tensor | float) -> Tensor:
    """``m_0 + w (m_c - m_0)`` of both branches, or the only one."""
    if len(m) == 1:
        return m
    m_0, m_c = m.chunk(2)
    return m_0 + scale * (m_c - m_0)


def before(state: Tensor, rows: Tensor, counter: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """What the network is told in the row: scaled latents (B, C, h, w) and timestep (B,).

    Args:
        state: the kept arrays s (K, C, h, w).
        rows: rows of `fewstep.fused.pack_row`, one a line.
        counter: which of them, (1,) int64.
        batch: B.
    """
    row = rows.index_select(0, counter)[0]
    return (row[1] * state[:1]).repeat(batch, 1, 1, 1), row[:1].repeat(batch)


def after(m: Tensor, state: Tensor, rows: Tensor, counter: Tensor) -> None:
    """``s'_k = output[k] m + sum_j state[k][j] s_j`` in place, with the network's outputs guided; counts on by one."""
    kept, row = len(state), rows.index_select(0, counter)[0]
    matrix, output = row[3 : 3 + kept**2].view(kept, kept, 1, 1, 1), row[3 + kept**2 : 3 + kept**2 + kept]
    state.copy_((matrix * state).sum(1) + output[:, None, None, None] * guided(m, row[2]))
    counter.add_(1)


def captured(work: Callable[[], object], device: str) -> Callable[[], object]:
    """The work as one CUDA graph, and what launches it; without a GPU the work itself."""
    for _ in range(3):  # compiles, chooses kernels, allocates
        work()
    if device == "cpu":
        return work
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class Graph:
    """The compiled network with fixed places for latents x, timestep t and output m."""

    def __init__(self, case: Case) -> None:
        device = case.noise.device.type
        self.x = case.noise.repeat(case.batch, 1, 1, 1)
        self.t = torch.full((case.batch,), 500.0, device=device)
        self.m = torch.empty_like(self.x)
        self.replay = captured(lambda: self.m.copy_(case.compiled(self.x, self.t, *case.conditions)), device)

    def __call__(self, x: Tensor, timestep: Tensor | float) -> Tensor:
        """The output for latents (1 or B, C, h, w)."""
        self.x.copy_(x)
        self.t.copy_(timestep) if isinstance(timestep, Tensor) else self.t.fill_(timestep)
        self.replay()
        return self.m


def network_alone(case: Case, table: StepTable, graph: Graph) -> Run:
    """The sum of the graphs."""

    def loop() -> Tensor:
        for _ in table.rows:
            graph.replay()
        return graph.m[:1]

    return loop


def on_host(case: Case, table: StepTable) -> Run:
    """The loop of the runtime around an engine that copies in and out."""
    device = case.noise.device.type
    names = ("latents", "timestep", "text_states", "text_mask")
    first = (case.noise.repeat(case.batch, 1, 1, 1), torch.zeros(case.batch, device=device), *case.conditions)
    there = dict(zip(names, (tensor.clone() for tensor in first), strict=True))
    pinned = {
        name: tensor.cpu().pin_memory() if device == "cuda" else tensor.clone()
        for name, tensor in there.items()
    }
    output = torch.empty_like(pinned["latents"], pin_memory=device == "cuda")
    arrays = {name: tensor.numpy() for name, tensor in pinned.items()}

    def work() -> None:
        for name, tensor in there.items():
            tensor.copy_(pinned[name], non_blocking=True)
        output.copy_(case.compiled(*there.values()), non_blocking=True)

    replay = captured(work, device)

    def denoiser(latents: Array, timestep: Array, conditions: Mapping[str, Any]) -> Array:
        for name, value in {"latents": latents, "timestep": timestep, **conditions}.items():
            np.copyto(arrays[name], value)
        replay()
        wait(device)
        return np.array(output.numpy())

    halves = [{name: arrays[name][i : i + 1].copy() for name in names[2:]} for i in range(case.batch)]
    model = guide(denoiser, halves[-1], halves[0] if case.batch == 2 else None, GuidanceConfig(SCALE))
    noise = case.noise.cpu().numpy()

    def loop() -> Tensor:
        latents = noise
        for _, latents in run(table, lambda _stream: noise, model):  # noqa: B007 - the last latents are the sample
            pass
        return torch.from_numpy(latents)

    return loop


def on_device(case: Case, table: StepTable, graph: Graph) -> Run:
    """The row's arithmetic as operations of its own."""

    def loop() -> Tensor:
        state = [case.noise * table.initial_scale]
        for row in table.rows:
            m = guided(graph(row.input_scale * state[0], row.timestep), SCALE)
            after = []
            for line, output in zip(row.state, row.output, strict=True):
                total = output * m
                for coefficient, kept in zip(line, state, strict=True):
                    total = total + coefficient * kept
                after.append(total)
            state = after
        return state[0]

    return loop


def fused(case: Case, table: StepTable, whole: bool) -> Run:
    """The fused step, which finds its row by a counter on the GPU; N launches of it, or one of all N."""
    device, kept = case.noise.device.type, table.buffers
    packed = np.zeros(
        (ROWS, row_size(kept)), np.float32
    )  # of one size, so that one compilation does for all tables
    packed[: len(table.rows)] = [pack_row(row, kept, SCALE) for row in table.rows]
    rows = torch.from_numpy(packed).to(device)
    state = case.noise.new_zeros(kept, *case.noise.shape[1:])
    counter = torch.zeros(1, dtype=torch.int64, device=device)

    def begin() -> None:
        state.zero_()
        torch.mul(case.noise, table.initial_scale, out=state[:1])
        counter.zero_()

    def every() -> None:
        begin()
        for _ in table.rows:
            case.step(state, rows, counter, case.conditions)

    launch = captured(every if whole else lambda: case.step(state, rows, counter, case.conditions), device)

    def loop() -> Tensor:
        if whole:
            launch()
            return state[:1]
        begin()
        for _ in table.rows:
            launch()
        return state[:1]

    return loop


def diffusers_loop(case: Case, table: StepTable, network: Callable[[Tensor, Tensor], Tensor]) -> Run:
    """The loop of SanaPipeline.__call__ (diffusers 0.39) with the levels of the table."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    levels = [row.timestep / 1000 for row in table.rows]

    def loop() -> Tensor:
        scheduler.set_timesteps(sigmas=levels, device=case.noise.device)
        latents = case.noise
        for t in scheduler.timesteps:
            given = torch.cat([latents] * 2) if case.batch == 2 else latents
            predicted = network(given, t.expand(given.shape[0])).float()
            if case.batch == 2:
                unconditional, text = predicted.chunk(2)
                predicted = unconditional + SCALE * (text - unconditional)
            latents = scheduler.step(predicted, t, latents, return_dict=False)[0]
        return latents

    return loop


def forms(case: Case, table: StepTable, with_diffusers: bool) -> dict[str, Run]:
    """Every form by name."""
    graph = Graph(case)
    made = {
        "network": network_alone(case, table, graph),
        "host": on_host(case, table),
        "device": on_device(case, table, graph),
        "fused": fused(case, table, whole=False),
        "whole": fused(case, table, whole=True),
    }
    if with_diffusers:
        made["diffusers, eager"] = diffusers_loop(
            case, table, lambda x, t: case.network(x, t, *case.conditions)
        )
        made["diffusers, CUDA graph"] = diffusers_loop(case, table, graph)
    return made


def wait(device: str) -> None:
    """Until the GPU has done what was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def measured(runs: Mapping[str, Run], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds by form; the order turns from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for k in range(rounds + 2):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            wait(device)
            begin = time.perf_counter()
            runs[name]()
            wait(device)
            if k >= 2:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def rows_of(case: Case, table: StepTable, rounds: int, with_diffusers: bool) -> list[Mapping[str, Any]]:
    """A row of the result for each form, printed as it comes."""
    runs = forms(case, table, with_diffusers)
    latents = {name: loop().cpu().clone() for name, loop in runs.items()}
    seconds = measured(runs, rounds, case.noise.device.type)
    made: list[Mapping[str, Any]] = []
    for name, times in seconds.items():
        ratios = {key: ratio(times, seconds[key]) for key in ("network", "whole")}
        error = float((latents[name] - latents["host"]).abs().max() / latents["host"].abs().max())
        made.append(
            {
                "guidance": case.batch == 2,
                "steps": len(table.rows),
                "form": name,
                "seconds": {"median": statistics.median(times), "least": min(times), "most": max(times)},
                "ratio_to_network": ratios["network"],
                "ratio_to_whole": ratios["whole"],
                "difference": None if name == "network" else error,
            }
        )
        print(
            f"batch {case.batch}  N {len(table.rows):2}  {name:22} {1e3 * statistics.median(times):9.3f} ms  "
            f"x {ratios['network']:6.3f}  difference {made[-1]['difference']}",
            flush=True,
        )
    return made


def ratio(mine: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(mine, others, strict=True))


def load(device: str) -> tuple[SanaDenoiser, str]:
    """The denoiser and where its weights come from."""
    torch.manual_seed(0)
    config = CheckpointConfig.from_json(json.loads((ZOO / "model.json").read_text())).denoiser
    assert isinstance(config, SanaConfig)
    denoiser, file = (config if device == "cuda" else TINY).build(), ZOO / "denoiser.safetensors"
    if device == "cuda" and file.is_file():
        denoiser.load_state_dict(load_file(file))
        return denoiser, "emoji-128"
    for weight in denoiser.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.2)  # layers that begin at zero would give no velocity
    return denoiser, "random"


def cases(network: Network, device: str, batch: int) -> Case:
    """The case of a batch, with its functions compiled at their first call."""
    config = network.denoiser.config
    rng = torch.Generator().manual_seed(batch)
    states = torch.randn(batch, TOKENS, config.text_dim, generator=rng).to(device)
    mask = (torch.arange(TOKENS) < torch.tensor([[2], [9]])[-batch:]).float().to(device)
    noise = torch.randn(1, config.latent_channels, config.size, config.size, generator=rng).to(device)

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        # A network compiled once for all forms: it takes most of the minute.
        return torch.compile(function, dynamic=False) if device == "cuda" else function

    fast, begin, end = compiled(network), compiled(before), compiled(after)

    def step(state: Tensor, rows: Tensor, counter: Tensor, conditions: Conditions) -> None:
        x, timestep = begin(state, rows, counter, batch)
        end(fast(x, timestep, *conditions), state, rows, counter)

    return Case(network, fast, step, (states, mask), noise)


def diffusers_version(wheel: Path | None) -> str | None:
    """Of the package, or of the wheel that is given; None, and the reason on standard error, where there is neither."""
    if wheel is not None:
        sys.path.insert(0, str(wheel.resolve()))
    try:
        import diffusers
        from diffusers import FlowMatchEulerDiscreteScheduler  # noqa: F401 - whether it can be imported
    except (ImportError, RuntimeError) as error:
        print(f"without diffusers: {error}; carry diffusers-0.39.0-py3-none-any.whl", file=sys.stderr)
        return None
    return str(diffusers.__version__)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--precision", choices=sorted(DTYPES), default="fp16")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--budget", type=float, default=50.0, help="seconds after which no case begins")
    parser.add_argument("--diffusers", type=Path, help="wheel, where the package is not installed")
    options = parser.parse_args()
    start, device = time.perf_counter(), "cuda" if torch.cuda.is_available() else "cpu"
    version = diffusers_version(options.diffusers)
    denoiser, weights = load(device)
    precision = options.precision if device == "cuda" else "fp32"
    network = Network(denoiser, DTYPES[precision]).eval().requires_grad_(False).to(device)
    made: list[Mapping[str, Any]] = []
    left_out = []
    with torch.inference_mode():
        for batch in (2, 1):
            case = cases(network, device, batch)
            for steps in STEPS[device]:
                if time.perf_counter() - start > options.budget:
                    left_out.append({"guidance": batch == 2, "steps": steps})
                    continue
                table = compile_table("flow-euler", steps, 1.0)
                made += rows_of(case, table, options.rounds, version is not None)
                print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
    result = {
        "what": "seconds of the sampler's loop by how much of it is on the GPU, one picture, flow-euler",
        "network": f"the denoiser of emoji-128, {weights} weights"
        if device == "cuda"
        else "a tiny Sana: no measurement",
        "precision": precision,
        "compiled": device == "cuda",
        "rows": made,
        "left_out": left_out,
        "rounds": options.rounds,
        "device": torch.cuda.get_device_name() if device == "cuda" else f"CPU, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        }
        | {"diffusers": version},
        "whole_seconds": round(time.perf_counter() - start, 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/fused_loop_cuda.py {' '.join(sys.argv[1:])}",
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
