"""Pictures of a bundle's Core ML packages against real ones: the weights of each package in the graphs for ONNX Runtime.

    python benchmarks/coreml_frechet.py out/coreml.fewstep [PRECISION ...] [--n 500] [--steps 4] [--sheet PNG]

Stored weights are expanded and put into the FP32 graphs, which draw the pictures: what fewer bits of the weights do is measured, FP16
arithmetic is not, and int8, whose activations have eight bits too, is left out. Eight of the model's examples are also drawn with its own steps,
and compared with those of the FP32 graphs (PSNR of the mean squared error of all); `--n 0` does that alone, and `--sheet` puts them side by side, a
row a precision. All precisions draw the same prompts from the same noise. Writes results/coreml_frechet.json, which is complete after each
precision; rows of an earlier run with the same bundle and settings stay.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from facts import facts
from onnx import numpy_helper

from fewstep.bundle import Bundle
from fewstep.image import contact_sheet, to_pil
from fewstep.manifest import Variant
from fewstep.pipeline import Pipeline
from fewstep_export.bundle_writer import file_records, write_manifest
from fewstep_export.components import Array
from fewstep_export.coreml.evaluation import OPERATORS
from fewstep_export.coreml.package import Literal, read_package

RESULT = Path(__file__).parent / "results" / "coreml_frechet.json"


def weights(path: Path) -> Mapping[str, Array]:
    """The constants of a package by name, expanded; stored ones by the name that they had in FP16."""
    values: dict[str, Array] = {}
    for operation in read_package(path).operations:
        if not operation.operator.startswith("const"):
            continue
        given = {
            name: torch.from_numpy(np.array(values[a] if isinstance(a, str) else a.value))
            for name, a in operation.arguments.items()
            if isinstance(a, str) or (isinstance(a, Literal) and not isinstance(a.value, str))
        }
        if given:
            name = next(iter(operation.outputs))
            plain = name if operation.operator == "const" else name.rpartition("_")[0]
            values[plain] = OPERATORS[operation.operator](given).numpy()
    return values


def with_weights(graph: onnx.ModelProto, half: Mapping[str, Array], stored: Mapping[str, Array]) -> int:
    """Replaces the graph's weights, found by their values in FP16 or those transposed; returns how many values were."""
    places = {}
    for name, value in half.items():
        if value.dtype == np.float16 and value.size >= 512:
            places[value.tobytes()] = (name, False)
            if value.ndim == 2:
                places[np.ascontiguousarray(value.T).tobytes()] = (name, True)
    count = 0
    for tensor in graph.graph.initializer:
        name, transposed = places.get(numpy_helper.to_array(tensor).astype(np.float16).tobytes(), ("", False))
        if name in stored:
            value = stored[name].T if transposed else stored[name]
            replaced = np.ascontiguousarray(value, np.float32).reshape(tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(replaced, tensor.name))
            count += value.size
    return count


def rebuilt(bundle: Bundle, variant: Variant, path: Path) -> int:
    """Writes the bundle whose graphs in FP32 have the variant's weights; returns how many values were replaced."""
    shutil.copytree(bundle.root, path, ignore=shutil.ignore_patterns("coreml", "fp16", "fp32-ort"))
    manifest, half, count = bundle.manifest, bundle.manifest.variant("coreml-fp16"), 0
    full = manifest.variant("fp32")
    for name, component in full.components.items():
        graph = onnx.load(path / component.file)
        before, after = (weights(bundle.graph(v.components[name])) for v in (half, variant))
        count += with_weights(graph, before, after)
        onnx.save(graph, path / component.file)
    object.__setattr__(manifest, "variants", (full,))
    object.__setattr__(manifest, "default_variant", "fp32")
    object.__setattr__(manifest, "files", file_records(path))
    write_manifest(path, manifest)
    return count


def evaluate(path: Path, n: int, steps: int) -> dict[str, float]:
    """The distances of `fewstep evaluate`, Frechet's by the name of the real pictures, and the unbiased kernel distance."""
    report = path.parent / "report.json"
    settings = ["--n", str(n), "--steps", str(steps), "--json", str(report)]
    command = [sys.executable, "-m", "fewstep.cli", "evaluate", str(path), *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    generated = json.loads(report.read_text())["generated"]
    return {**generated["frechet"], "kernel": generated["kernel"]["train"]["mean"]}


def draw(path: Path) -> Array:
    """Eight of the model's examples by the FP32 graphs of a bundle."""
    pipeline = Pipeline(path, "fp32")
    prompts = pipeline.manifest.prompts.examples[:8]
    return np.concatenate([pipeline.generate_array([text], [seed]) for seed, text in enumerate(prompts)])


def decibels(found: Array, right: Array) -> float:
    """PSNR of the mean squared error of all pictures; at most 200."""
    return float(-10 * np.log10(max(np.square(found - right).mean(), 1e-20)))


def write_sheet(file: Path, rows: Mapping[str, Array]) -> None:
    """Pictures side by side on white, a row a precision."""
    pictures = [to_pil(picture) for row in rows.values() for picture in row]
    captions = [precision for precision, row in rows.items() for _ in row]
    sheet = contact_sheet(pictures, captions, columns=len(pictures) // len(rows))
    sheet.convert("RGB").quantize(128).save(file, optimize=True)


def main() -> None:
    """Evaluates precision by precision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("precisions", nargs="*")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    settings = {"bundle": Bundle.open(options.bundle).manifest.name, "n": options.n, "steps": options.steps}
    earlier = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    same = all(earlier.get(key) == value for key, value in settings.items())
    rows: dict[str, dict[str, float]] = earlier["precisions"] if same else {}
    right, drawn = draw(options.bundle), dict[str, Array]()
    variants = {v.precision: v for v in Bundle.open(options.bundle).manifest.variants if v.engine == "coreml"}
    known = [precision for precision in variants if precision not in ("fp32", "int8")]
    for variant in [variants[precision] for precision in options.precisions or known]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rebuilt.fewstep"
            values = rebuilt(Bundle.open(options.bundle), variant, path)
            distances = evaluate(path, options.n, options.steps) if options.n else {}
            drawn[variant.precision] = draw(path)
            row = {"values": values, "psnr": decibels(drawn[variant.precision], right), **distances}
            rows[variant.precision] = {**rows.get(variant.precision, {}), **row}
        print(variant.precision, rows[variant.precision], flush=True)
        said = {**facts("onnxruntime", "coremltools", "numpy"), **settings}
        RESULT.write_text(json.dumps({**said, "precisions": rows}, indent=1) + "\n")
    if options.sheet is not None:
        write_sheet(options.sheet, drawn)


if __name__ == "__main__":
    main()
