"""The forms of the sampler's loop beside each other: host, hoisted, fused, hoisted and fused, unrolled.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE python benchmarks/loop_forms.py emoji-128 --steps 4 --rounds 5

Exports the checkpoint twice (with --hoist and without), loads every form, and draws the same prompts with the same noise in rounds: each
round draws one picture with every form, so that a busy machine is busy for all. Ratios are taken round by round against the host loop of
that round; their medians count. Load time and peak memory come from a process of their own. Writes results/loop_forms.json.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

from fewstep.bench.cold import Task, cold_start
from fewstep.bench.device import this_device
from fewstep.bench.meter import Drawn, Series, generation_call, rounds
from fewstep.bench.runner import spread
from fewstep.bundle import Bundle
from fewstep.pipeline import Pipeline
from fewstep.records import to_json
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.loop_forms.config import LoopForms

HOST = "fp32"
TARGET = Path(__file__).parent / "results" / "loop_forms.json"


def export_forms(source: str, steps: int, folder: Path) -> dict[str, Path]:
    """Bundles by variant; those that the folder holds already are kept."""
    asked = {
        "plain": LoopForms(fuse_step=True, unroll=steps),
        "hoisted": LoopForms(hoist=True, fuse_step=True),
    }
    bundles = {
        name: export(ExportConfig(source, folder / f"{name}.fewstep", precisions=("fp32",), loop=forms))
        for name, forms in asked.items()
    }
    variants = {
        "plain": (HOST, "fp32-fused", "fp32-unrolled"),
        "hoisted": ("fp32-hoisted", "fp32-hoisted-fused"),
    }
    return {variant: bundles[name] for name, found in variants.items() for variant in found}


def figures(
    variant: str, bundle: Path, series: Series[Drawn], host: Series[Drawn], task: Task
) -> Mapping[str, object]:
    """What is told of one form; times in seconds, sizes in bytes."""
    cold = cold_start(task, timeout=600)
    manifest = Bundle.open(bundle).manifest
    record = manifest.variant(variant)
    pairs = zip(series.timed, host.timed, strict=True)
    ratios = [mine.seconds / other.seconds for mine, other in pairs]
    identical = [
        a.picture.tobytes() == b.picture.tobytes() for a, b in zip(series.timed, host.timed, strict=True)
    ]
    return {
        "loop": record.form,
        "seconds": [run.seconds for run in series.timed],
        "median_seconds": statistics.median(run.seconds for run in series.timed),
        "ratio_to_host": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "inside": {
            name: statistics.median(run.inside[name] for run in series.timed)
            for name in series.timed[0].inside
        },
        "host_share": statistics.median(run.shares()["host"] for run in series.timed),
        "identical_pictures": sum(identical),
        "load_seconds": cold.load,
        "peak_memory_bytes": cold.peak_memory.bytes,
        "graph_bytes": {name: manifest.bytes_of(c) for name, c in record.components.items()},
        "psnr": {name: check.psnr for name, check in record.verification.items() if check.psnr is not None},
    }


def measure(bundles: Mapping[str, Path], steps: int, count: int, threads: int) -> Mapping[str, object]:
    """The figures of every form, by variant."""
    pipelines = {name: Pipeline(bundle, name, threads) for name, bundle in bundles.items()}
    host = pipelines[HOST]
    table, scale = host.step_table(steps), host.manifest.guidance.scale
    prompts = spread(host.manifest.prompts, count)
    calls = {
        name: generation_call(pipeline, prompts, 0, table, scale) for name, pipeline in pipelines.items()
    }
    drawn = rounds(calls, warmup=1, runs=count)
    tasks = {
        name: Task(str(bundle), name, threads, prompts[0], 0, steps=steps) for name, bundle in bundles.items()
    }
    return {
        "bundle": host.manifest.name,
        "image": to_json(host.manifest.image),
        "step_table": table.name,
        "guidance": scale,
        "threads": threads,
        "rounds": count,
        "forms": {
            name: figures(name, bundles[name], drawn[name], drawn[HOST], tasks[name]) for name in bundles
        },
    }


def main() -> None:
    """Reads the options, measures, and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="zoo name or checkpoint folder")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("out/loop-forms"), help="folder for the bundles")
    options = parser.parse_args()
    bundles = export_forms(options.source, options.steps, options.work)
    found = measure(bundles, options.steps, options.rounds, options.threads)
    words = [Path(options.source).name, f"--steps {options.steps}", f"--rounds {options.rounds}"]
    command = " ".join(["python benchmarks/loop_forms.py", *words, f"--threads {options.threads}"])
    result = {"command": command, **found, "device": to_json(this_device())}
    TARGET.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    forms = found["forms"]
    assert isinstance(forms, dict)
    for name, form in forms.items():
        print(
            f"{name:20} {form['median_seconds'] * 1e3:8.1f} ms  x {form['ratio_to_host']['median']:.3f}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
