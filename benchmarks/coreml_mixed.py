"""Mixed bits against Apple's recipe on the denoiser of a bundle's FP16 packages for Core ML, at the same average number of bits.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/coreml_mixed.py emoji-128 out/coreml.fewstep

Apple's recipe (ml-stable-diffusion, mixed_bit_compression_pre_analysis.py): each weight alone gets k-means palettes of 1, 2, 4, 6 or 8 bits; what that
does to the output is measured as PSNR; one threshold for all gives every weight the fewest bits that stay above it. Here on two inputs
on the way to pictures, with the largest threshold that holds the budget. Ours: `coreml/mixed_bits.py`, with one palette a weight
(iOS 17) and with one for a few output channels (iOS 18), the budget spent in this network alone. Errors are those of the output on the fixed
inputs of the export, relative in l2, and of whole pictures against FP16 (eight examples; PSNR of their mean squared error). Writes
results/coreml_mixed.json.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from coreml_frechet import decibels
from facts import facts

from fewstep.bundle import Bundle
from fewstep.engines.coreml import split_rows
from fewstep.network import Feeds
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Array
from fewstep_export.config import ExportConfig
from fewstep_export.coreml.calibration import Weights
from fewstep_export.coreml.compress import index_bits
from fewstep_export.coreml.evaluate import Evaluator, by_rows
from fewstep_export.coreml.mixed_bits import SMALLEST, Fitted, cost, mixed
from fewstep_export.coreml.palettes import PaletteForm, fit
from fewstep_export.coreml.picture_gradients import picture_errors
from fewstep_export.coreml.trajectories import trajectory_inputs
from fewstep_export.fixed_inputs import fixed_cases
from fewstep_export.picture_loop import PictureTask, draw_with

RESULT = Path(__file__).parent / "results" / "coreml_mixed.json"
BITS = (1, 2, 4, 6, 8)
CHOICES = (3, 4, 6, 8)
BUDGET = 4.5
OUTPUT = "velocity"
Constants = Mapping[str, Array]


def apples(half: Path, cases: list[Feeds]) -> tuple[Constants, float]:
    """The weights by Apple's recipe, and the bits a weight that it takes, palettes included."""
    weights, evaluate = Weights.read(half, SMALLEST).values, Evaluator(half, "fp16")
    right = [evaluate(feeds)[OUTPUT] for feeds in cases]
    stored: dict[str, dict[int, Array]] = {}
    decibels: dict[str, dict[int, float]] = {}
    for name, weight in weights.items():
        stored[name] = {b: fit(weight, PaletteForm(b)).numpy().astype(np.float16) for b in BITS}
        decibels[name] = {}
        for bits, values in stored[name].items():
            run = evaluate.with_constants({name: values})
            found = [run(feeds)[OUTPUT] for feeds in cases]
            decibels[name][bits] = min(_psnr(a, b) for a, b in zip(found, right, strict=True))
    thresholds = sorted({value for row in decibels.values() for value in row.values()}, reverse=True)
    for threshold in thresholds:
        chosen = {
            name: min((b for b in BITS if row[b] >= threshold), default=8) for name, row in decibels.items()
        }
        spent = sum(weights[name].numel() * b + 16 * 2**b for name, b in chosen.items())
        average = spent / sum(weight.numel() for weight in weights.values())
        if average <= BUDGET:
            return {name: stored[name][b] for name, b in chosen.items()}, average
    raise AssertionError("one bit a weight is within the budget")


def _psnr(found: Array, right: Array) -> float:
    """In dB of the largest value, as in Apple's script."""
    return float(20 * np.log10(np.abs(right).max() / np.sqrt(np.square(found - right).mean())))


def main(zoo: str, path: Path) -> None:
    """Measures and writes the file."""
    bundle, generator = Bundle.open(path), load_generator(ExportConfig(zoo, Path("unused.fewstep")))
    packages = {
        name: bundle.graph(c) for name, c in bundle.manifest.variant("coreml-fp16").components.items()
    }
    half, inputs = packages["denoiser"], trajectory_inputs(generator)["denoiser"]
    fixed = fixed_cases(generator, generator.sampling.table())["denoiser"]
    held = [row for case in fixed for row in split_rows(case.feeds)]
    plain = Evaluator(half, "fp16")
    expected = [plain(feeds)[OUTPUT] for feeds in held]
    runs = {name: by_rows(Evaluator(package, "fp16")) for name, package in packages.items()}
    task = PictureTask(generator.prompts.examples[:8], generator.sampling.table(), generator.guidance.scale)
    right = draw_with(generator, runs, task)
    rows: dict[str, dict[str, float]] = {}

    def judge(name: str, values: Constants, bits: float) -> None:
        run = plain.with_constants(values)
        squares = [np.square(run(f)[OUTPUT] - e).sum() for f, e in zip(held, expected, strict=True)]
        error = float(np.sqrt(sum(squares) / sum(np.square(e).sum() for e in expected)))
        pictures = draw_with(generator, {**runs, "denoiser": by_rows(run)}, task)
        rows[name] = {"bits": round(bits, 3), "error": error, "psnr": decibels(pictures, right)}
        print(name, rows[name], flush=True)
        RESULT.write_text(
            json.dumps({**facts("torch", "coremltools", "numpy"), "rows": rows}, indent=1) + "\n",
            encoding="utf-8",
        )

    for name, grouped in (("ours, iOS 18", True), ("ours, iOS 17", False)):
        fitted = Fitted(half, inputs, grouped)
        choices = index_bits(CHOICES, "iOS18" if grouped else "iOS17")
        changes = {**{key: {} for key in packages}, "denoiser": fitted.changes(choices)}
        errors = picture_errors(generator, packages, changes)
        chosen = mixed({"denoiser": fitted}, errors, choices, BUDGET)["denoiser"]
        spent = sum(cost(s) * s.values.numel() for s in chosen.values())
        values = {name: stored.values.numpy().astype(np.float16) for name, stored in chosen.items()}
        judge(name, values, spent / sum(stored.values.numel() for stored in chosen.values()))
    judge("Apple's recipe", *apples(half, list(inputs[:: len(inputs) // 2])[:2]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
