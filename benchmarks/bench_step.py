"""The cost of one sampler step, without the network: a row of a step table beside the same step of diffusers.

    OMP_NUM_THREADS=1 python benchmarks/bench_step.py

Both sides run a whole DPM-Solver++ 2M of 20 steps on latents (1, 4, 64, 64) float32 with a network that returns a ready
output. Rounds alternate between the sides, so that a busy machine is busy for both; the medians of the rounds count.
Writes results/step_cost.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

from fewstep.loop import run
from fewstep.noise import gaussian
from fewstep.samplers import from_diffusers

SHAPE, STEPS = (1, 4, 64, 64), 20
CONFIG: dict[str, object] = {
    "_class_name": "DPMSolverMultistepScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
TARGET = Path(__file__).parent / "results" / "step_cost.json"


def table_side() -> Callable[[], None]:
    """A run of the table."""
    table, initial, output = from_diffusers(CONFIG, STEPS), gaussian(SHAPE, 1), gaussian(SHAPE, 2)

    def once() -> None:
        for _ in run(table, lambda _stream: initial, lambda _x, _t: output):
            pass

    return once


def diffusers_side() -> Callable[[], None]:
    """The loop of a diffusers pipeline; set_timesteps is not counted."""
    scheduler = DPMSolverMultistepScheduler(**{k: v for k, v in CONFIG.items() if k != "_class_name"})
    initial, output = torch.from_numpy(gaussian(SHAPE, 1)), torch.from_numpy(gaussian(SHAPE, 2))

    def once() -> None:
        scheduler._step_index, scheduler.lower_order_nums = None, 0
        scheduler.model_outputs = [None] * scheduler.config.solver_order
        x = initial
        for t in scheduler.timesteps:
            x = scheduler.step(output, t, scheduler.scale_model_input(x, t), return_dict=False)[0]

    scheduler.set_timesteps(STEPS)
    return once


def microseconds_a_step(once: Callable[[], None]) -> float:
    """One round."""
    begin = time.perf_counter()
    once()
    return (time.perf_counter() - begin) / STEPS * 1e6


def measure(rounds: int) -> dict[str, object]:
    """The figures."""
    sides = {"fewstep": table_side(), "diffusers": diffusers_side()}
    for once in sides.values():
        for _ in range(20):
            once()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, once in sides.items():
            times[name].append(microseconds_a_step(once))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "what": f"microseconds of one DPM-Solver++ 2M step on {SHAPE} float32, the network left out",
        "rounds": rounds,
        "median": medians,
        "quartiles": {name: statistics.quantiles(values, n=4) for name, values in times.items()},
        "ratio": medians["fewstep"] / medians["diffusers"],
        "device": f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "threads": {"torch": torch.get_num_threads(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            **{name: version(name) for name in ("torch", "diffusers")},
        },
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/bench_step.py {' '.join(sys.argv[1:])}".strip(),
    }


def main() -> None:
    """Measures, prints the ratio and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    figures = measure(parser.parse_args().rounds)
    TARGET.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{figures['median']} -> {figures['ratio']:.3f}, in {TARGET}")


if __name__ == "__main__":
    main()
