"""Quality against latency of teacher and students on our own data, after Table 2 of the survey.

    python benchmarks/distillation_table.py EVALUATION.json ... --bundle out/emoji-128-4step.fewstep [--own emoji-128-phone=out/phone.fewstep]
        [--rounds 7] [--threads 2]

The survey is "Towards efficient diffusion models for text-conditioned image synthesis: architecture design, samplers and distillation".
The quality comes from files of `benchmarks/evaluate_checkpoints.py`, which must have judged the same number of prompts of the same split.
The latency is measured here: prompt to picture by ONNX Runtime, one call of every way of sampling a round. Most students have the network of
their teacher, so that one bundle stands for all: what differs is how often the network is asked, with guidance for two rows at a time. Those with
another network have their --own bundle.
Writes results/distillation.json and its plot; prints the table of docs/distillation.md.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from facts import text_of

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
    "FeaturesMethod": "features (BK-SDM)",
    "distribution-matching": "distribution matching (DMD2)",
    "DistributionMatchingMethod": "distribution matching (DMD2)",
    "ReflowMethod": "reflow",
    "ContinuousConsistencyMethod": "sCM",
    "SprintMethod": "Sprint",
}
NOW = {"emoji-128-dmd-4": "emoji-128-4step", "emoji-128-dmd1": "emoji-128-distribution-matching-pictures-1"}
"""Names of runs that are in the zoo, or have a recipe, under another name."""
Way = tuple[str, str, int, float]
"""(checkpoint with a bundle of its own or "", sampler, steps, guidance)."""


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
    return {
        "role": "student" if "teacher" in row["training"] else "teacher",
        "checkpoint": NOW.get(row["name"], row["name"]),
        "method": method_of(row["training"]),
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


def method_of(training: Mapping[str, Any]) -> str:
    """The method by its paper's name, with what the discriminator sees and whether it is a LoRA."""
    name = METHODS.get(training["method"], training["method"])
    if training.get("stages"):
        name = name.replace("(LADD)", "(ADD and LADD)").replace("(DMD2)", "(DMD2 and ADD)")
    return f"{name}, LoRA" if "lora_rank" in training else name


def latencies(
    ways: Sequence[Way], bundles: Mapping[str, Path], count: int, threads: int
) -> dict[Way, list[float]]:
    """Seconds of every round, by the way of sampling."""
    pipelines = {name: Pipeline(bundle, threads=threads) for name, bundle in bundles.items()}
    prompts = spread(pipelines[""].manifest.prompts, count)
    calls = {}
    for way in ways:
        name, sampler, steps, guidance = way
        step_table = pipelines[name].step_table(steps, sampler)
        calls[way] = generation_call(pipelines[name], prompts, 0, step_table, guidance)
    drawn = rounds({str(i): calls[way] for i, way in enumerate(ways)}, 1, count)
    return {way: [one.seconds for one in drawn[str(i)].timed] for i, way in enumerate(ways)}


def table(files: Sequence[Path], bundles: Mapping[str, Path], count: int, threads: int) -> dict[str, Any]:
    """The whole result; the bundle of checkpoints without one of their own is named ""."""
    rows = judged_rows(files)

    def way_of(row: Mapping[str, Any]) -> Way:
        name = row["checkpoint"] if row["checkpoint"] in bundles else ""
        return name, row["sampler"], row["steps"], row["guidance"]

    ways = sorted({way_of(row) for row in rows})
    seconds = latencies(ways, bundles, count, threads)
    slowest = max(ways, key=lambda way: statistics.median(seconds[way]))
    for row in rows:
        own = seconds[way_of(row)]
        row["latency_ms"] = 1e3 * statistics.median(own)
        row["times_faster"] = statistics.median(a / b for a, b in zip(seconds[slowest], own, strict=True))
    return {
        "what": "Frechet distance to the training pictures, text-image R@1, prompt to picture by ONNX Runtime in FP32",
        "n": json.loads(files[0].read_text(encoding="utf-8"))["n"],
        "command": f"python benchmarks/{Path(__file__).name} {' '.join(file.name for file in files)} {_said(bundles)} "
        f"--rounds {count} --threads {threads}",
        "threads": threads,
        "device": to_json(this_device()),
        "rows": rows,
    }


def _said(bundles: Mapping[str, Path]) -> str:
    options = (
        f"--own {name}={path.name}" if name else f"--bundle {path.name}" for name, path in bundles.items()
    )
    return " ".join(options)


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Quality against latency, a line a checkpoint."""
    figure, axes = plt.subplots(figsize=(9.5, 4.4), layout="constrained")
    lines: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in result["rows"]:
        lines.setdefault((row["role"], f"{row['checkpoint']}, {row['sampler']}"), []).append(row)
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for k, ((role, name), rows) in enumerate(sorted(lines.items(), reverse=True)):
        rows = sorted(rows, key=lambda row: row["latency_ms"])
        x, y = [row["latency_ms"] for row in rows], [row["frechet"] for row in rows]
        again = k >= len(colours)  # a colour that is there already gets other marks
        style = "s--" if role == "teacher" else "^:" if again else "o-"
        axes.plot(x, y, style, label=f"{role}: {name}", markersize=4, color=colours[k % len(colours)])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="milliseconds, prompt to picture",
        ylabel="Frechet distance, lower is better",
    )
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 80, "method": 6})


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
    parser.add_argument("--own", action="append", default=[], metavar="CHECKPOINT=BUNDLE")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    atomic.require_writable(options.out)
    bundles = {"": options.bundle} | {
        name: Path(path) for name, path in (own.split("=", 1) for own in options.own)
    }
    result = table(options.evaluations, bundles, options.rounds, options.threads)
    atomic.write_bytes(options.out, text_of(result).encode())
    plot(result, options.out.with_suffix(".webp"))
    print(markdown(result))


if __name__ == "__main__":
    main(sys.argv[1:])
