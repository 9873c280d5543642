"""Would a range for every step serve better than one for all? The error of the INT8 denoiser at each step of the sampler, both ways.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/int8_per_step.py emoji-128-4step.fewstep

Calibrated on pictures of some prompts, judged on the calls of others; the weights are the same in all graphs. `noise` is that of `fewstep quantize
--max-noise`: the layers whose input is rounded by more get two planes; without a limit none do. Writes results/int8_per_step.json.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
from facts import facts

from fewstep.bundle import Bundle
from fewstep_quantization.building import Inputs
from fewstep_quantization.calibration.collect import Calibration
from fewstep_quantization.calibration.gram import Gram
from fewstep_quantization.calibration.histogram import Histogram
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.pictures import Source
from fewstep_quantization.rounding import Rounded
from fewstep_quantization.static_graph import StaticGraph, observed, ranges_of
from fewstep_quantization.trajectory import Trajectory, mean_relative_error, outputs, record

TARGET = Path(__file__).parent / "results" / "int8_per_step.json"
LIMITS = (0.03, float("inf"))


@dataclass(frozen=True)
class Row:
    """Relative errors of one evaluation at a timestep, with ranges of all steps together and of this one alone."""

    noise: float | None
    layers_in_two_planes: int
    timestep: float
    together: float
    alone: float


def by_step(calls: Trajectory) -> Mapping[float, Trajectory]:
    """The calls of each timestep."""
    steps = sorted({float(call["timestep"].ravel()[0]) for call in calls})
    return {step: [call for call in calls if float(call["timestep"].ravel()[0]) == step] for step in steps}


def quantised(
    static: StaticGraph, calls: Trajectory, noise: float, rounded: Mapping[str, Rounded]
) -> tuple[onnx.ModelProto, int]:
    """The graph with the ranges of these calls, and how many of its layers are in two planes."""
    seen = observed(static, calls, static.tensors, Histogram)
    wide = static.noisy(seen, "min-max", noise)
    return static.quantised(ranges_of(seen, "min-max"), (), wide, rounded), len(wide)


def main() -> None:
    """Draws, calibrates, compares, writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=int, default=24)
    options = parser.parse_args()
    table = Bundle.open(options.bundle).step_table(None, None)
    inputs = Inputs.load(QuantizeConfig(options.bundle, "int8", pictures=options.pictures), table)
    others = [p for p in inputs.bundle.manifest.prompts.in_styles() if p not in inputs.calibration.prompts][
        :8
    ]
    source, static = Source(inputs.bundle), StaticGraph.of(inputs.graphs["denoiser"])
    seen, fresh = (
        record(source, inputs.graphs, calibration, 10**6)["denoiser"]
        for calibration in (inputs.calibration, Calibration(others, table, first_seed=1))
    )
    rounded = static.rounded(observed(static, seen, static.inputs, Gram))
    of_step, rows = by_step(seen), list[Row]()
    for noise in LIMITS:
        graph, wide = quantised(static, seen, noise, rounded)
        for step, calls in by_step(fresh).items():
            right = outputs(static.graph, calls)
            alone, _ = quantised(static, of_step[step], noise, rounded)
            together, own = (mean_relative_error(outputs(g, calls), right) for g in (graph, alone))
            rows.append(Row(noise if noise < 1 else None, wide, step, together, own))
            print(rows[-1], flush=True)
    result = {
        **facts("onnxruntime", "numpy"),
        "bundle": inputs.bundle.manifest.name,
        "pictures": options.pictures,
    }
    TARGET.write_text(json.dumps({**result, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
