"""Quality against latency of teacher and students on our own data, after Table 2 of the survey.

    python benchmarks/distillation_table.py EVALUATION.json ... --bundle out/emoji-128-4step.fewstep [--rounds 7] [--threads 2]

The survey is "Towards efficient diffusion models for text-conditioned image synthesis: architecture design, samplers and distillation".
The quality comes from files of `benchmarks/evaluate_checkpoints.py`, which must have judged the same number of prompts of the same split.
The latency is measured here: prompt to picture by ONNX Runtime, one call of every way of sampling a round. A student has the network of its
teacher, so that one bundle stands for all: what differs is how often the network is asked, with guidance for two rows at a time.
Writes results/distillation.json and its plot; prints the table of docs/distillation.md.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from fewstep import atomic
from fewstep.bench.device import this_device
from fewstep.bench.meter import generation_call, rounds
from fewstep.bench.runner import spread
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep.records import to_json

TARGET = Path(__file__).parent / "results" / "distillation.json"
SAME = ("n", "split", "what")
METHODS = {
    "flow-matching": "flow matching",
    "ProgressiveMethod": "progressive",
    "ConsistencyMethod": "consistency (LCM)",
    "CFGAwareMethod": "CFG-aware",
    "AdversarialMethod": "adversarial (LADD)",
    "adversarial": "adversarial (LADD), LoRA",
    "DistributionMatchingMethod": "distribution matching (DMD2)",
    "distribution-matching": "distribution matching (DMD2)",
    "ReflowMethod": "reflow",
    "ContinuousConsistencyMethod": "sCM",
    "SprintMethod": "Sprint",
}
Way = tuple[str, int, float]
"""(sampler, steps, guidance)."""


def judged_rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The rows of evaluations that can be compared, without latency.

    Raises:
        FewstepError: they judged other prompts.
    """
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for file, result in zip(files, results, strict=True):
        found, expected = ([r[key] for key in SAME] for r in (result, results[0]))
        if found != expected:
            raise FewstepError(
                f"expected {file.name} to have judged {expected} like {files[0].name}, found {found}; judge all checkpoints alike"
            )
    return [
        _row(row, result, file) for file, result in zip(files, results, strict=True) for row in result["rows"]
    ]


def _row(row: Mapping[str, Any], result: Mapping[str, Any], file: Path) -> dict[str, Any]:
    method = row["training"]["method"]
    return {
        "role": "student" if "teacher" in row["training"] else "teacher",
        "checkpoint": row["name"],
        "method": METHODS.get(method, method),
        "sampler": row["sampler"],
        "steps": row["steps"],
        "evaluations": row["evaluations"],
        "guidance": row["guidance"],
        "frechet": row["frechet"]["train"],
        "frechet_held_out": row["frechet"]["held_out"],
        "score": row["text_image"]["r1"],
        "similarity": row["text_image"]["similarity"],
        "copies": row["copies"],
        "judged_on": result["device"],
        "source": file.name,
    }


def latencies(ways: Sequence[Way], bundle: Path, count: int, threads: int) -> dict[Way, list[float]]:
    """Seconds of every round, by the way of sampling."""
    pipeline = Pipeline(bundle, threads=threads)
    prompts = spread(pipeline.manifest.prompts, count)
    calls = {
        way: generation_call(pipeline, prompts, 0, pipeline.step_table(way[1], way[0]), way[2])
        for way in ways
    }
    drawn = rounds({str(i): calls[way] for i, way in enumerate(ways)}, 1, count)
    return {way: [one.seconds for one in drawn[str(i)].timed] for i, way in enumerate(ways)}


def table(files: Sequence[Path], bundle: Path, count: int, threads: int) -> dict[str, Any]:
    """The whole result."""
    rows = judged_rows(files)
    ways = sorted({(row["sampler"], row["steps"], row["guidance"]) for row in rows})
    seconds = latencies(ways, bundle, count, threads)
    slowest = max(ways, key=lambda way: statistics.median(seconds[way]))
    for row in rows:
        own = seconds[row["sampler"], row["steps"], row["guidance"]]
        row["latency_ms"] = 1e3 * statistics.median(own)
        row["times_faster"] = statistics.median(a / b for a, b in zip(seconds[slowest], own, strict=True))
    return {
        "what": "Frechet distance to the training pictures, text-image R@1, prompt to picture by ONNX Runtime in FP32",
        "n": json.loads(files[0].read_text(encoding="utf-8"))["n"],
        "command": f"python benchmarks/{Path(__file__).name} {' '.join(file.name for file in files)} --bundle {bundle.name} "
        f"--rounds {count} --threads {threads}",
        "threads": threads,
        "device": to_json(this_device()),
        "rows": rows,
    }


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Quality against latency, a line a checkpoint."""
    matplotlib.rcParams["svg.hashsalt"] = "fewstep"
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    lines: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in result["rows"]:
        lines.setdefault((row["role"], f"{row['checkpoint']}, {row['sampler']}"), []).append(row)
    for (role, name), rows in sorted(lines.items(), reverse=True):
        rows = sorted(rows, key=lambda row: row["latency_ms"])
        x, y = [row["latency_ms"] for row in rows], [row["frechet"] for row in rows]
        axes.plot(x, y, "s--" if role == "teacher" else "o-", label=f"{role}: {name}", markersize=4)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="milliseconds, prompt to picture",
        ylabel="Frechet distance, lower is better",
    )
    axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})


def markdown(result: Mapping[str, Any]) -> str:
    """The table of the page."""
    lines = [
        "| checkpoint | method | sampler | steps | evaluations | Frechet distance | text-image R@1 | ms a picture | times faster |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(
        result["rows"], key=lambda row: (row["role"] == "student", row["checkpoint"], -row["steps"])
    ):
        lines.append(
            f"| {row['checkpoint']} | {row['method']} | {row['sampler']} | {row['steps']} | {row['evaluations']} | {row['frechet']:.1f} | "
            f"{row['score']:.3f} | {row['latency_ms']:.0f} | {row['times_faster']:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Measures, writes, plots, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("evaluations", nargs="+", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    atomic.require_writable(options.out)
    result = table(options.evaluations, options.bundle, options.rounds, options.threads)
    atomic.write_bytes(options.out, (json.dumps(result, indent=1) + "\n").encode())
    plot(result, options.out.with_suffix(".svg"))
    print(markdown(result))


if __name__ == "__main__":
    main(sys.argv[1:])
