"""Pictures of a bundle's Core ML packages against real ones: the weights of each package in the graphs for ONNX Runtime.

    python benchmarks/coreml_frechet.py out/coreml.fewstep [--n 500] [PRECISION ...]

Stored weights are expanded and put into the FP32 graphs, which draw the pictures: what fewer bits of the weights do is measured, FP16
arithmetic is not. All precisions draw the same prompts from the same noise. Writes results/coreml_frechet.json.
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
from onnx import numpy_helper

from fewstep.bundle import Bundle
from fewstep.manifest import Variant
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


def evaluate(path: Path, n: int) -> dict[str, float]:
    """The distances of `fewstep evaluate`."""
    report = path.parent / "report.json"
    command = [
        sys.executable,
        "-m",
        "fewstep.cli",
        "evaluate",
        str(path),
        "--n",
        str(n),
        "--json",
        str(report),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    generated = json.loads(report.read_text())["generated"]
    return {key: value for key, value in generated["frechet"].items() if isinstance(value, float)}


def main() -> None:
    """Evaluates precision by precision; the file is complete after each, and keeps the rows of earlier runs with the same number."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("precisions", nargs="*")
    parser.add_argument("--n", type=int, default=500)
    options = parser.parse_args()
    earlier = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows: dict[str, dict[str, float]] = earlier["precisions"] if earlier.get("n") == options.n else {}
    for variant in Bundle.open(options.bundle).manifest.variants:
        if variant.engine != "coreml" or (options.precisions and variant.precision not in options.precisions):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rebuilt.fewstep"
            values = rebuilt(Bundle.open(options.bundle), variant, path)
            rows[variant.precision] = {**evaluate(path, options.n), "values": values}
        print(variant.precision, rows[variant.precision], flush=True)
        facts = {"n": options.n, "bundle": options.bundle.name, "precisions": rows}
        RESULT.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
