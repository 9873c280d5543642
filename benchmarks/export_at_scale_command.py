"""Time and memory of `fewstep export` on a pipeline with a full-size denoiser, beside what it forecast.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE python benchmarks/export_at_scale_command.py [--case CASE] [--precisions fp32|both|coreml]

The denoiser has Stable Diffusion 1.5's or Sana 0.6 B's real configuration and random FP16 weights; the text encoder, the autoencoder, the
tokenizer and the scheduler are those of the tests' tiny pipelines (tests/export/checkpoints/tiny_pipelines.py). The command says what it
forecasts and what every stage took; this script reads that. "coreml" makes packages in both precisions, and no graphs for ONNX Runtime. Writes
results/export_at_scale_command.json, in which rows of other cases stay, each with its date.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from export_at_scale import CASES, Case, write_random
from facts import facts

from fewstep_export.large.child import in_child

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/export_at_scale_command.json"
FORECAST = re.compile(
    r"(\w+): weights ([\d.]+) GB, peak memory about ([\d.]+) GB \(export ([\d.]+) GB, torch ([\d.]+) GB, check ([\d.]+) GB(?:, Core ML ([\d.]+) GB)?\)"
)
STAGE = re.compile(r"([\w-]+): ([\d.]+) s, peak memory ([\d.]+) GB")
sys.path.insert(0, str(ROOT / "tests/export/checkpoints"))


def build(case: Case, folder: Path) -> Path:
    """A pipeline folder around the denoiser."""
    import tiny_pipelines as tiny

    if case.kind == "UNet2DConditionModel":
        pipeline, part, encoder = tiny.stable_diffusion(folder), "unet", tiny.clip(case.text[1])
    else:
        pipeline, part, encoder = tiny.sana(folder), "transformer", tiny.gemma(case.text[1])
    shutil.rmtree(pipeline / part)
    encoder.save_pretrained(pipeline / "text_encoder")
    if (
        case.kind == "SanaTransformer2DModel"
    ):  # as many channels as the denoiser reads, and no fewer behind them: it repeats its latents
        channels, config = case.latents[0], dict(tiny.dc_ae().config)
        config |= {f"{side}_block_out_channels": (8, 8, channels) for side in ("encoder", "decoder")}
        # No attention: heads of a few channels with random weights divide by next to nothing, which no FP16 survives.
        config |= {f"{side}_block_types": ("ResBlock",) * 3 for side in ("encoder", "decoder")}
        config["latent_channels"] = channels
        autoencoder = type(tiny.dc_ae()).from_config(config)
        autoencoder.save_pretrained(pipeline / "vae")
    in_child("writing random weights", write_random, case, pipeline / part)
    return pipeline


def measure(case: Case, folder: Path, precision: str) -> dict[str, Any]:
    """One export by the command."""
    source, output = folder / "checkpoint", folder / f"{precision}.fewstep"
    asked = {
        "fp32": ["--precision", "fp32"],
        "both": [],
        "coreml": ["--target", "coreml", "--min-target", "iOS18"],
    }[precision]
    command = ["-m", "fewstep", "export", str(source), *asked, "--steps", "2", "-o", str(output)]
    begin = perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    seconds = perf_counter() - begin
    shutil.rmtree(output, ignore_errors=True)
    if done.returncode:
        return {"case": case.name, "precisions": precision, "failed": done.stderr.strip().splitlines()[-1:]}
    names = ("weights", "peak", "export", "torch", "check", "coreml")
    forecasts = {
        name: {key: float(number) for key, number in zip(names, numbers, strict=True) if number}
        for name, *numbers in FORECAST.findall(done.stderr)
    }
    stages = {
        name: {"seconds": float(time), "peak_gb": float(peak)}
        for name, time, peak in STAGE.findall(done.stderr)
    }
    peak = max(stage["peak_gb"] for stage in stages.values())
    return {
        "case": case.name,
        "precisions": precision,
        "seconds": round(seconds, 1),
        "peak_gb": peak,
        "forecast_gb": max(found["peak"] for found in forecasts.values()),
        "peak_over_weights": round(peak / forecasts["denoiser"]["weights"], 2),
        "forecasts_gb": forecasts,
        "stages": stages,
    }


def main() -> None:
    """Measures every case and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--precisions", choices=("fp32", "both", "coreml"), action="append")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    said = facts("torch", "diffusers", "onnx", "onnxruntime", threads=torch.get_num_threads())
    earlier = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    rows: list[dict[str, Any]] = []
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        with tempfile.TemporaryDirectory(prefix="fewstep-scale-") as folder:
            build(case, Path(folder))
            for precision in options.precisions or ("fp32", "both"):
                rows.append({**measure(case, Path(folder), precision), "date": said["date"]})
                print(json.dumps(rows[-1]), file=sys.stderr)
        measured = {(row["case"], row["precisions"]) for row in rows}
        kept = [row for row in earlier if (row["case"], row["precisions"]) not in measured]
        options.out.write_text(
            json.dumps({**said, "rows": [*kept, *rows]}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
