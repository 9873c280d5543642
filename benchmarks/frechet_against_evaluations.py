"""How good the zoo's pictures are for how many network evaluations, by sampler: Flow-Euler against Flow-DPM-Solver++ 2M.

    python benchmarks/frechet_against_evaluations.py --guidance 4 --device cuda --precision bf16 --out FILE.json
    python benchmarks/frechet_against_evaluations.py --plot FILE.json

The first line draws the same prompts from the same noise with every sampler and number of evaluations and writes the distances to
FILE.json, complete after every row, so that a run that is cut short is not lost; it needs no matplotlib. The second draws
FILE.svg. A repeat takes other prompts and other noise: its spread is what chance alone does. With guidance an
evaluation is two passes of the network. Files for a machine without a network: --minilm, --tokenizer, --lite0, --head.
"""

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewstep import atomic
from fewstep.samplers import SAMPLERS
from fewstep_distillation.metrics import offline
from fewstep_distillation.metrics.evaluate import Report
from fewstep_distillation.metrics.generators import checkpoint_table
from fewstep_distillation.metrics.prompts import EvaluateConfig

RESULT = Path(__file__).parent / "results" / "frechet_against_evaluations.json"
EVALUATIONS = (4, 8, 12, 20, 28, 50)


@dataclass(frozen=True)
class Row:
    """One sampler at one number of evaluations; `frechet` and `kernel` are distances to the training pictures."""

    sampler: str
    evaluations: int
    guidance: float
    seed: int
    frechet: float
    frechet_held_out: float
    kernel: float
    text_image_r1: float

    @classmethod
    def of(cls, report: Report, sampler: str, evaluations: int, guidance: float) -> "Row":
        """The figures of a report that stand in the result."""
        found = report.generated
        return cls(
            sampler,
            evaluations,
            guidance,
            report.config.seed,
            found.frechet["train"],
            found.frechet["held_out"],
            found.kernel["train"].mean,
            found.text_image["all"].r1,
        )


def measure(
    bench: offline.Workbench,
    choices: Sequence[tuple[str, int, float]],
    configs: Sequence[EvaluateConfig],
    facts: Mapping[str, object],
) -> Iterator[dict[str, Any]]:
    """The result with one row more each time; choices are (sampler, evaluations, guidance), all drawn once a config."""
    rows: list[Row] = []
    for config, choice in product(configs, choices):
        sampler, evaluations, guidance = choice
        generator = bench.generator(checkpoint_table(bench.checkpoint, sampler, evaluations), guidance)
        report = bench.evaluator.evaluate(generator, config)
        rows.append(Row.of(report, *choice))
        real = {"held_out_to_train": report.real.frechet["train"], "halves": report.real.frechet["halves"]}
        judges = {"real": real, "judges": dict(report.judges)}
        yield {**facts, **judges, "rows": [asdict(row) for row in rows]}


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Frechet distance against evaluations, a line each sampler and guidance scale, all repeats as dots."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "fewstep"  # the same figures give the same file
    import matplotlib.pyplot as plt

    figure, panel = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for (sampler, guidance), points in curves(result["rows"]).items():
        dots = [(n, value) for n, values in points.items() for value in values]
        means = [statistics.fmean(values) for values in points.values()]
        (line,) = panel.plot(list(points), means, label=f"{sampler}, guidance {guidance:g}", linewidth=1.4)
        panel.plot(*zip(*dots, strict=True), "o", color=line.get_color(), markersize=3.5)
    panel.axhline(
        result["real"]["held_out_to_train"], color="grey", linestyle=":", label="unseen real pictures"
    )
    evaluations = sorted({row["evaluations"] for row in result["rows"]})
    panel.set(xscale="log", xlabel="network evaluations", ylabel=f"Frechet distance, n = {result['n']}")
    panel.set_xticks(evaluations, [str(n) for n in evaluations], minor=False)
    panel.minorticks_off()
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, float], dict[int, list[float]]]:
    """(sampler, guidance) -> evaluations, ascending -> the distances of all repeats."""
    found: dict[tuple[str, float], dict[int, list[float]]] = {}
    for row in sorted(rows, key=lambda row: row["evaluations"]):
        points = found.setdefault((row["sampler"], row["guidance"]), {})
        points.setdefault(row["evaluations"], []).append(row["frechet"])
    return found


def environment(options: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on besides the code."""
    cuda = options.device.startswith("cuda")
    return {
        "what": "Frechet distance of EfficientNet-lite0 features to the training pictures",
        "checkpoint": Path(options.checkpoint).name,
        "n": options.n,
        "precision": options.precision,
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/{Path(__file__).name} --guidance {' '.join(f'{w:g}' for w in options.guidance)} "
        f"--evaluations {' '.join(map(str, options.evaluations))} --n {options.n} --repeats {options.repeats} --seed {options.seed} --precision {options.precision}",
    }


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    offline.add_options(parser)
    parser.add_argument("--plot", type=Path, help="draw the plot of this result and measure nothing")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file to write")
    parser.add_argument("--samplers", nargs="+", default=["flow-euler", "flow-dpm++2m"], choices=SAMPLERS)
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
    parser.add_argument("--guidance", type=float, nargs="+", default=[4.0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1, help="each with n further prompts and seeds")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measures and writes, or plots."""
    options = options_of(arguments)
    if options.plot:
        plot(json.loads(options.plot.read_text(encoding="utf-8")), options.plot.with_suffix(".svg"))
        return
    atomic.require_writable(options.out)
    choices = list(product(options.samplers, options.evaluations, options.guidance))
    configs = [EvaluateConfig(options.n, options.seed + k * options.n) for k in range(options.repeats)]
    bench = offline.Workbench.open(options)
    for result in measure(bench, choices, configs, environment(options)):
        atomic.write_bytes(options.out, (json.dumps(result, indent=1) + "\n").encode())
        row = result["rows"][-1]
        print(
            f"seed {row['seed']} {row['sampler']:>14} {row['evaluations']:2} evaluations, guidance {row['guidance']:g}: "
            f"FD {row['frechet']:.2f}, held out {row['frechet_held_out']:.2f}, R@1 {row['text_image_r1']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
