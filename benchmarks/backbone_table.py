"""The backbones of distillation/recipes/backbones beside each other: cost, latency, and what one short budget of training makes of them.

    python benchmarks/backbone_table.py RUNS --evaluations FILE.json ... [--rounds 15] [--threads 2]

RUNS is the folder of their training runs (RUNS/dit/log.jsonl ...), the files are those of benchmarks/evaluate_checkpoints.py. The latency is measured
here: one evaluation of the denoiser, batch 1, by ONNX Runtime in FP32, the second of two calls of every backbone a round; random weights,
which cost the same. Writes results/backbones_trained.json and prints the table of docs/backbones.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from facts import facts

from fewstep import atomic
from fewstep_distillation.recipe import FlowMatchingRecipe, read_recipe
from fewstep_export.components import Component
from fewstep_export.onnx_export import export_component
from fewstep_models.backbones import BackboneConfig
from fewstep_models.flops import backbone_cost

RECIPES = Path(__file__).parents[1] / "distillation" / "recipes" / "backbones"
TARGET = Path(__file__).parent / "results" / "backbones_trained.json"
INPUTS = ("latents", "timestep", "text_states", "text_mask")
TOKENS = 32


def feeds_of(config: BackboneConfig, rows: int = 1) -> dict[str, Any]:
    """The inputs of so many pictures."""
    rng = np.random.default_rng(0)
    shapes = (
        (rows, config.latent_channels, config.size, config.size),
        (rows,),
        (rows, TOKENS, config.text_dim),
    )
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return dict(zip(INPUTS, [*arrays, np.ones((rows, TOKENS), np.float32)], strict=True))


def session(config: BackboneConfig, folder: Path, threads: int) -> ort.InferenceSession:
    """The exported denoiser in ONNX Runtime."""
    torch.manual_seed(0)
    graph = export_component(
        Component("denoiser", config.build().eval(), INPUTS, ("velocity",)), feeds_of(config, 2)
    )
    path = folder / "denoiser.onnx"
    path.write_bytes(graph.model.SerializeToString())
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(
        "session.force_spinning_stop", "1"
    )  # its threads would take the next one's time
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def latencies(configs: Mapping[str, BackboneConfig], count: int, threads: int) -> dict[str, float]:
    """Median milliseconds of an evaluation, by name; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in configs}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {name: session(config, Path(folder), threads) for name, config in configs.items()}
    feeds = {name: feeds_of(config) for name, config in configs.items()}
    for _ in range(count + 1):
        for name, one in sessions.items():
            one.run(None, feeds[name])  # the weights of the others are in the caches
            started = time.perf_counter()
            one.run(None, feeds[name])
            seconds[name].append(time.perf_counter() - started)
    return {name: 1e3 * statistics.median(values[1:]) for name, values in seconds.items()}


def trained(folder: Path, batch: int) -> dict[str, Any]:
    """The end of a run's log."""
    last = json.loads((folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return {
        "updates": last["step"],
        "samples": last["step"] * batch,
        "seconds": last["seconds"],
        "loss": last["loss"],
    }


def judged(files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Quality by the name of the checkpoint."""
    rows = {}
    for result in (json.loads(file.read_text(encoding="utf-8")) for file in files):
        for row in result["rows"]:
            quality = {"frechet": row["frechet"]["train"], "score": row["text_image"]["r1"]}
            rows[row["name"]] = {
                **quality,
                "n": result["n"],
                "split": result["split"],
                "judged_on": result["device"],
            }
    return rows


def table(runs: Path, files: Sequence[Path], count: int, threads: int) -> dict[str, Any]:
    """The whole result; a backbone that nobody judged has no quality."""
    recipes = {path.stem: read_recipe(path, {}) for path in sorted(RECIPES.glob("*.toml"))}
    plain = {name: recipe for name, recipe in recipes.items() if isinstance(recipe, FlowMatchingRecipe)}
    milliseconds = latencies({name: recipe.model for name, recipe in plain.items()}, count, threads)
    quality = judged(files)
    rows = []
    for name, recipe in plain.items():
        cost = backbone_cost(recipe.model)
        rows.append(
            {
                "backbone": name,
                "parameters": cost.parameters,
                "gflops": cost.flops / 1e9,
                "latency_ms": milliseconds[name],
                **trained(runs / name, recipe.run.batch_size),
                **quality.get(recipe.name, {}),
            }
        )
    return {**facts("torch", "onnx", "onnxruntime", threads=threads), "rounds": count, "rows": rows}


def markdown(result: Mapping[str, Any]) -> str:
    """The table of the page, best first."""
    lines = [
        "| recipe | parameters | GFLOPs | ms an evaluation | loss at the end | Frechet distance | seconds of training |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(result["rows"], key=lambda row: row.get("frechet", float("inf"))):
        distance = f"{row['frechet']:.0f}" if "frechet" in row else "not judged"
        lines.append(
            f"| `{row['backbone']}` | {row['parameters'] / 1e6:.1f} M | {row['gflops']:.2f} | {row['latency_ms']:.1f} | {row['loss']:.3f} | "
            f"{distance} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Measures, writes, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--evaluations", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    atomic.require_writable(options.out)
    result = table(options.runs, options.evaluations, options.rounds, options.threads)
    atomic.write_bytes(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(markdown(result))


if __name__ == "__main__":
    main(sys.argv[1:])
