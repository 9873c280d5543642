"""The pictures of several checkpoints, judged on the same prompts and noise: the figures behind the tables of backbones and of students.

    python benchmarks/evaluate_checkpoints.py CHECKPOINT ... [CHECKPOINT@sampler:steps:guidance ...] --out FILE.json

A checkpoint is a folder or a zoo name and is sampled by its own defaults, or as written behind the @. The file is complete after every
row. Prompts are the held-out ones unless --split says otherwise. Files for a machine without a network: --minilm, --tokenizer, --lite0.
"""

import argparse
import dataclasses
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facts import text_of

from fewstep import atomic
from fewstep_distillation.metrics import offline
from fewstep_distillation.metrics.generators import checkpoint_table
from fewstep_distillation.metrics.prompts import EvaluateConfig
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.flops import backbone_cost


@dataclass(frozen=True)
class Choice:
    """A checkpoint and how it is sampled; None takes the checkpoint's own."""

    source: str
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Choice":
        """``folder`` or ``folder@sampler:steps:guidance``."""
        source, _, sampling = text.partition("@")
        if not sampling:
            return cls(source)
        sampler, steps, guidance = sampling.split(":")
        return cls(source, sampler, int(steps), float(guidance))


def row_of(bench: offline.Workbench, choice: Choice, config: EvaluateConfig) -> dict[str, Any]:
    """What one checkpoint is, how it was sampled, and how its pictures were judged."""
    checkpoint = Checkpoint.load(zoo.resolve(choice.source))
    sampling = checkpoint.config.sampling
    table = checkpoint_table(checkpoint, choice.sampler, choice.steps)
    guidance = sampling.guidance if choice.guidance is None else choice.guidance
    report = dataclasses.replace(bench, checkpoint=checkpoint)
    judged = report.evaluator.evaluate(report.generator(table, guidance), config)
    found, cost = judged.generated, backbone_cost(checkpoint.config.denoiser)
    return {
        "name": checkpoint.config.name,
        "backbone": checkpoint.config.denoiser.type,
        "training": dict(checkpoint.config.training),
        "parameters": cost.parameters,
        "gflops": cost.flops / 1e9,
        "sampler": table.sampler,
        "steps": len(table.rows),
        "guidance": guidance,
        "evaluations": len(table.rows) * (1 if guidance == 1.0 else 2),
        "frechet": found.frechet,
        "kernel": {name: distance.mean for name, distance in found.kernel.items()},
        "text_image": asdict(found.text_image["all"]),
        "compose_r1": found.compose.r1 if found.compose else None,
        "copies": {name: rate.copies for name, rate in found.copies.items()},
        "real": {"frechet": judged.real.frechet, "text_image": asdict(judged.real.text_image["all"])},
    }


def measure(
    bench: offline.Workbench, choices: Iterable[Choice], config: EvaluateConfig, facts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The result with one row more each time."""
    rows: list[dict[str, Any]] = []
    for choice in choices:
        rows.append(row_of(bench, choice, config))
        yield {**facts, "rows": rows}


def facts_of(options: argparse.Namespace, command: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    cuda = options.device.startswith("cuda")
    return {
        "what": "pictures of checkpoints, judged on the same prompts and noise",
        "n": options.n,
        "seed": options.seed,
        "split": options.split,
        "precision": options.precision,
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/{Path(__file__).name} {' '.join(command)}",
    }


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", type=Choice.parse)
    offline.add_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="held-out", help="all, train, zero, compose or held-out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Judges and writes."""
    options = options_of(arguments)
    atomic.require_writable(options.out)
    config = EvaluateConfig(options.n, options.seed, options.split)
    bench = offline.Workbench.open(options)
    for result in measure(bench, options.checkpoints, config, facts_of(options, arguments)):
        atomic.write_bytes(options.out, text_of(result).encode())
        row = result["rows"][-1]
        print(
            f"{row['name']:>32} {row['sampler']}-{row['steps']}, guidance {row['guidance']:g}: FD {row['frechet']['train']:.2f}, "
            f"held out {row['frechet']['held_out']:.2f}, R@1 {row['text_image']['r1']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
