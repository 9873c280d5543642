"""How the cost of a backbone grows with the number of tokens: softmax attention beside three that are linear.

    python benchmarks/backbone_scaling.py --device cpu
    python benchmarks/backbone_scaling.py --device cuda

Networks of two blocks, width 256 and one token a latent position, batch 1, from 16x16 to 128x128 positions (256x256 on CUDA). On CUDA
they run in bfloat16 from CUDA graphs, so that small maps do not measure Python; on the CPU in float32 on one core, in seconds of that
core. "softmax" runs torch's fused attention, which never holds the scores; "softmax, scores in memory" is what an exported graph does.
Memory is the peak above the weights. An exponent is the slope of the least-squares line through the logarithms from 1024 tokens
on, and that between the last two points beside it. A crossover is where the softmax DiT becomes the slower one.
Writes results/backbone_scaling_DEVICE.json and, where matplotlib is installed, results/backbone_scaling.webp of all devices.
"""

import argparse
import ctypes
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fewstep_models.backbones import BackboneConfig
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.dit import DiTConfig
from fewstep_models.s4d import S4D
from fewstep_models.sana import SanaConfig

RESULTS = Path(__file__).parent / "results"
SIDES = {"cpu": (16, 24, 32, 48, 64, 96, 128), "cuda": (16, 24, 32, 48, 64, 96, 128, 192, 256)}
WIDTH, DEPTH, TEXT_TOKENS, FITTED = 256, 2, 32, 1024
SCORES_LIMIT = {"cpu": 2e9, "cuda": 4e9}  # bytes of one tensor of scores; larger ones are not tried
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h
MMAP_MAX = 65536  # its default
SOFTMAX, MATERIALISED = "DiT, softmax", "DiT, softmax, scores in memory"


@dataclass(frozen=True)
class Backbone:
    """A configuration by side, and whether it holds the scores of attention."""

    config: Callable[[int], BackboneConfig]
    holds_scores: bool = False


BACKBONES: Mapping[str, Backbone] = {
    SOFTMAX: Backbone(lambda side: DiTConfig(size=side, width=WIDTH, depth=DEPTH)),
    MATERIALISED: Backbone(lambda side: DiTConfig(size=side, width=WIDTH, depth=DEPTH), holds_scores=True),
    "Sana": Backbone(lambda side: SanaConfig(size=side, width=WIDTH, depth=DEPTH)),
    "DiffuSSM": Backbone(lambda side: DiffuSSMConfig(size=side, width=WIDTH, depth=DEPTH)),
    "DiT, LinFusion": Backbone(
        lambda side: DiTConfig(size=side, width=WIDTH, depth=DEPTH, attention="linfusion")
    ),
}


@dataclass(frozen=True)
class Point:
    """Milliseconds and peak bytes above the weights at a number of tokens."""

    tokens: int
    milliseconds: float
    bytes: int


def measure(backbone: Backbone, side: int, device: str) -> Point | None:
    """One point of a curve, or None where the scores would not fit."""
    config = backbone.config(side)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    if isinstance(config, DiTConfig) and backbone.holds_scores:
        scores = config.width // config.head_channels * side**4 * dtype.itemsize
        if scores > SCORES_LIMIT[device]:
            return None
    module = config.build().eval().requires_grad_(False).to(device)
    for part in module.modules():
        if isinstance(part, S4D):
            part.precompute()
    # As in a mixed-precision graph: parts that ask for FP32 keep it, the rest is bfloat16.
    precision = torch.autocast(device, dtype) if device == "cuda" else nullcontext()
    kernel = sdpa_kernel(SDPBackend.MATH) if backbone.holds_scores else nullcontext()
    values = inputs(config, device)
    with torch.inference_mode(), precision, kernel:
        peak = peak_bytes(module, values, device)
        seconds = cuda_seconds(module, values) if device == "cuda" else cpu_seconds(module, values)
    return Point(side**2, 1e3 * seconds, peak)


def inputs(config: BackboneConfig, device: str) -> tuple[Tensor, ...]:
    """Latents, timestep, text states and mask of one picture."""
    torch.manual_seed(0)
    latents = torch.randn(1, config.latent_channels, config.size, config.size)
    text = torch.randn(1, TEXT_TOKENS, config.text_dim)
    values = (latents, torch.tensor([500.0]), text, torch.ones(1, TEXT_TOKENS))
    return tuple(value.to(device) for value in values)


def cpu_seconds(module: nn.Module, values: tuple[Tensor, ...]) -> float:
    """CPU time on one core, the least of 3 to 21 runs: others may share the machine and its caches. peak_bytes has warmed up."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 1.5 and len(times) < 21):
        begin = time.process_time()
        module(*values)
        times.append(time.process_time() - begin)
    return min(times)


def cuda_seconds(module: nn.Module, values: tuple[Tensor, ...]) -> float:
    """The median of 20 replays of the network as a CUDA graph."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            module(*values)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        module(*values)
    times: list[float] = []
    for _ in range(23):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times[3:])


def peak_bytes(module: nn.Module, values: tuple[Tensor, ...], device: str) -> int:
    """The largest memory during one run less that before it."""
    if device == "cuda":
        module(*values)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        module(*values)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    libc = ctypes.CDLL("libc.so.6")  # Linux with glibc
    libc.mallopt(M_MMAP_MAX, MMAP_MAX)
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 16)  # every tensor its own pages, given back when it dies
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets VmHWM back to VmRSS
    before = resident("VmRSS")
    module(*values)
    peak = max(resident("VmHWM") - before, 0)
    # For the time that follows a tensor's memory is used again, as by a runtime with an arena: no page is cleared twice.
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    return peak


def resident(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    return 1024 * int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0])


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The exponent p of ``y = c x^p``, by least squares on logarithms; None with fewer than two points."""
    if len(points) < 2:
        return None
    xs, ys = ([math.log(value) for value in axis] for axis in zip(*points, strict=True))
    x, y = statistics.fmean(xs), statistics.fmean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def exponents(points: Sequence[Point]) -> dict[str, float | None]:
    """Exponents of time and memory."""
    fitted = [p for p in points if p.tokens >= FITTED]
    times = [(p.tokens, p.milliseconds) for p in fitted]
    memory = [(p.tokens, p.bytes) for p in fitted if p.bytes]
    return {"time": slope(times), "time_last": slope(times[-2:]), "memory": slope(memory)}


def crossover(linear: Sequence[Point], softmax: Sequence[Point]) -> float | None:
    """The tokens from which softmax is the slower one at all larger sizes, between two measured ones by interpolation of logarithms."""
    logs = {p.tokens: math.log(p.milliseconds) for p in linear}
    gaps = [(p.tokens, math.log(p.milliseconds) - logs[p.tokens]) for p in softmax if p.tokens in logs]
    slower = [i for i, (_, gap) in enumerate(gaps) if gap <= 0]
    if not slower:
        return float(gaps[0][0])
    if slower[-1] == len(gaps) - 1:
        return None
    (x0, g0), (x1, g1) = gaps[slower[-1]], gaps[slower[-1] + 1]
    share = -g0 / (g1 - g0)
    return math.exp(math.log(x0) + share * (math.log(x1) - math.log(x0)))


def run(device: str, largest: int) -> dict[str, list[Point]]:
    """All curves; sizes grow in the outer loop, so that a machine that warms up does so for all."""
    curves: dict[str, list[Point]] = {name: [] for name in BACKBONES}
    for side in (side for side in SIDES[device] if side**2 <= largest):
        for name, backbone in BACKBONES.items():
            point = measure(backbone, side, device)
            if point is not None:
                curves[name].append(point)
                print(
                    f"{name:32s} {point.tokens:6d} tokens {point.milliseconds:10.3f} ms {point.bytes / 1e6:9.1f} MB",
                    flush=True,
                )
    return curves


def facts(device: str, curves: Mapping[str, Sequence[Point]]) -> dict[str, Any]:
    """The content of the results file."""
    linear = [name for name in curves if name not in (SOFTMAX, MATERIALISED)]
    return {
        "what": f"one evaluation of {DEPTH} blocks of width {WIDTH}, batch 1: milliseconds and peak bytes above the weights",
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "precision": "bfloat16 autocast, CUDA graph" if device == "cuda" else "float32, one core",
        "threads": torch.get_num_threads(),
        "curves": {name: [vars(point) for point in points] for name, points in curves.items()},
        "exponents": {name: exponents(points) for name, points in curves.items()},
        "crossover_tokens": {name: crossover(curves[name], curves[SOFTMAX]) for name in linear},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/backbone_scaling.py {' '.join(sys.argv[1:])}".strip(),
    }


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A row a device: time, then memory, against tokens, all logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(
        len(results), 2, figsize=(11, 4.2 * len(results)), layout="constrained", squeeze=False
    )
    for result, panels in zip(results, rows, strict=True):
        for panel, key, unit, scale in zip(
            panels, ("milliseconds", "bytes"), ("ms", "MB"), (1, 1e6), strict=True
        ):
            for name, points in result["curves"].items():
                label = f"{name} ({result['exponents'][name]['time']:.2f})" if key == "milliseconds" else name
                xs, ys = [p["tokens"] for p in points], [max(p[key] / scale, 1e-3) for p in points]
                panel.plot(xs, ys, marker=".", label=label)
            panel.set(
                xscale="log",
                yscale="log",
                xlabel="tokens",
                ylabel=unit,
                title=f"{result['device']}, {result['precision']}",
            )
            panel.grid(alpha=0.3)
            panel.legend(fontsize=7)
    figure.savefig(path, dpi=90, pil_kwargs={"quality": 80, "method": 6})


def main() -> None:
    """Measures, fits and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=sorted(SIDES), default="cpu")
    parser.add_argument("--largest", type=int, default=10**9, help="leave out maps of more tokens")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = facts(options.device, run(options.device, options.largest))
    path = RESULTS / f"backbone_scaling_{options.device}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, fitted in found["exponents"].items():
        print(f"{name:32s}", *(f"{key} {value:.2f}" for key, value in fitted.items() if value is not None))
    print(
        "softmax is slower from",
        {name: tokens and round(tokens) for name, tokens in found["crossover_tokens"].items()},
        "tokens",
    )
    if find_spec("matplotlib"):
        files = sorted(RESULTS.glob("backbone_scaling_*.json"))
        plot(
            [json.loads(file.read_text(encoding="utf-8")) for file in files],
            RESULTS / "backbone_scaling.webp",
        )


if __name__ == "__main__":
    main()
