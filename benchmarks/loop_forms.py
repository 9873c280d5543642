"""The forms of the sampler's loop beside each other: host, hoisted, fused, hoisted and fused, unrolled.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE python benchmarks/loop_forms.py emoji-128 --steps 4 --rounds 5
    python benchmarks/loop_forms.py emoji-web.fewstep --variant int8 --threads 1 --rounds 15

Exports the checkpoint, or takes a copy of a bundle, adds every form of one build to it, and draws the same prompts with the same noise in
rounds: each round draws one picture with every form, so that a busy machine is busy for all. Ratios are taken round by round against the
host loop of that round; their medians count. Load time and peak memory come from a process of their own. Beside a build of lower precision
runs FP32. Writes results/loop_forms.json, with --variant results/loop_forms_VARIANT.json.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

from fewstep.bench.cold import Task, cold_start
from fewstep.bench.device import this_device
from fewstep.bench.meter import Drawn, Series, generation_call, rounds
from fewstep.bench.runner import spread
from fewstep.bundle import Bundle
from fewstep.manifest import MANIFEST_NAME
from fewstep.pipeline import Pipeline
from fewstep.records import to_json
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.loop_forms.command import add_to_bundle
from fewstep_export.loop_forms.config import LoopConfig, LoopForms

FP32 = "fp32"
FORMS = ("fused", "unrolled", "hoisted", "hoisted-fused")
RESULTS = Path(__file__).parent / "results"


def with_forms(source: str, variant: str, steps: int, folder: Path) -> Path:
    """The bundle with every form of that variant; one that the folder holds already is kept."""
    bundle = folder / f"{Path(source).stem}-{variant}.fewstep"
    if bundle.exists():
        return bundle
    folder.mkdir(parents=True, exist_ok=True)
    if (Path(source) / MANIFEST_NAME).exists():
        shutil.copytree(source, bundle)
    else:
        export(ExportConfig(source, bundle, precisions=("fp32",)))
    for forms in (LoopForms(fuse_step=True, unroll=steps), LoopForms(hoist=True, fuse_step=True)):
        add_to_bundle(LoopConfig(bundle, forms, variant, force=True, rounds=1))
    return bundle


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


def measure(bundle: Path, variant: str, steps: int, count: int, threads: int) -> Mapping[str, object]:
    """The figures of every form, by variant."""
    names = list(dict.fromkeys((FP32, variant, *(f"{variant}-{form}" for form in FORMS))))
    pipelines = {name: Pipeline(bundle, name, threads) for name in names}
    host = pipelines[variant]
    table, scale = host.step_table(steps), host.manifest.guidance.scale
    prompts = spread(host.manifest.prompts, count)
    calls = {
        name: generation_call(pipeline, prompts, 0, table, scale) for name, pipeline in pipelines.items()
    }
    drawn = rounds(calls, warmup=1, runs=count)
    tasks = {name: Task(str(bundle), name, threads, prompts[0], 0, steps=steps) for name in names}
    return {
        "bundle": host.manifest.name,
        "image": to_json(host.manifest.image),
        "step_table": table.name,
        "guidance": scale,
        "threads": threads,
        "rounds": count,
        "forms": {name: figures(name, bundle, drawn[name], drawn[variant], tasks[name]) for name in names},
    }


def main() -> None:
    """Reads the options, measures, and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="zoo name, checkpoint folder, or bundle")
    parser.add_argument("--variant", default=FP32, help="build whose forms are measured, like int8")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("out/loop-forms"), help="folder for the bundles")
    options = parser.parse_args()
    variant = options.variant
    bundle = with_forms(options.source, variant, options.steps, options.work)
    found = measure(bundle, variant, options.steps, options.rounds, options.threads)
    words = [Path(options.source).name, *([] if variant == FP32 else [f"--variant {variant}"])]
    words += [f"--steps {options.steps}", f"--rounds {options.rounds}", f"--threads {options.threads}"]
    command = " ".join(["python benchmarks/loop_forms.py", *words])
    result = {"command": command, **found, "device": to_json(this_device())}
    target = RESULTS / ("loop_forms.json" if variant == FP32 else f"loop_forms_{variant}.json")
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    forms = found["forms"]
    assert isinstance(forms, dict)
    for name, form in forms.items():
        print(
            f"{name:20} {form['median_seconds'] * 1e3:8.1f} ms  x {form['ratio_to_host']['median']:.3f}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
