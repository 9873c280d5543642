"""Mixed precision of a bundle's denoiser: the choices that were measured, and a plot of error against time.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/int8_pareto.py emoji-128-4step.fewstep --pictures 24

Runs the search of `fewstep quantize --max-error`, writes nothing into the bundle, and puts every point into results/int8_pareto.json and
results/int8_pareto.svg. One evaluation is one call of the denoiser as the sampler makes it.
"""

import argparse
import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fewstep.bench.device import physical_cores, this_device
from fewstep.bundle import Bundle
from fewstep.records import to_json
from fewstep_quantization.build import build
from fewstep_quantization.building import Inputs
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.search import Budget, Point

RESULTS = Path(__file__).parent / "results"
LOOSE = 0.9
"""An error that every choice keeps: the search runs, and nothing is left in float for its sake."""


def plot(points: list[Point], target: Path) -> None:
    """Error against time, the numbers of layers in float beside the points."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot([p.milliseconds for p in points], [p.error for p in points], "o-")
    for p in points:
        axes.annotate(str(len(p.float_layers)), (p.milliseconds, p.error), (4, 4), textcoords="offset points")
    axes.set_xlabel("ms of one evaluation")
    axes.set_ylabel("relative error of the denoiser's output")
    axes.set_title("layers in float: what no other choice beats")
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    """Reads the options, searches, writes both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--threads", type=int, default=physical_cores())
    options = parser.parse_args()
    config = QuantizeConfig(
        options.bundle, "int8", pictures=options.pictures, budget=Budget(error=LOOSE), threads=options.threads
    )
    table = Bundle.open(options.bundle).step_table(None, None)
    built = build(config, Inputs.load(config, table), lambda *_: None)
    points = list(built.points)
    plot(points, RESULTS / "int8_pareto.svg")
    result = {
        "command": f"python benchmarks/int8_pareto.py {options.bundle.name} --pictures {options.pictures}",
        "date": datetime.now(UTC).date().isoformat(),
        "device": to_json(this_device()),
        "threads": options.threads,
        "step_table": table.name,
        "versions": {name: version(name) for name in ("onnxruntime", "numpy")},
        "points": [to_json(point) for point in points],
    }
    (RESULTS / "int8_pareto.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
