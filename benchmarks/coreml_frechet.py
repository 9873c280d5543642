"""Pictures of a bundle's Core ML packages against real ones: the weights of each package in the graphs for ONNX Runtime.

    python benchmarks/coreml_frechet.py out/coreml.fewstep [PRECISION ...] [--n 500] [--seed 0]

Stored weights are expanded and put into the FP32 graphs, which draw the pictures: what fewer bits of the weights do is measured, FP16
arithmetic is not, and int8, whose activations have eight bits too, is left out. Eight of the model's examples are also drawn with its own steps,
and compared with those of the FP32 graphs (PSNR of the mean squared error of all); `--n 0` does that alone, and `--sheet` puts them side by side, a
row a precision. All precisions draw the same prompts from the same noise; `--seed` chooses both, and picture k takes the noise of seed + k.
Writes results/coreml_frechet.json, which is complete after each precision; earlier runs of other settings stay, and so do rows of the same.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from facts import facts
from onnx import numpy_helper
from precision_sheet import draw, write_sheet

from fewstep.bundle import Bundle
from fewstep.manifest import Variant
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.evaluate import Evaluator
from fewstep_distillation.metrics.prompts import EvaluateConfig
from fewstep_distillation.metrics.sources import SamplingChoice, open_generator
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


def rebuilt(bundle: Bundle, variant: Variant, path: Path, only: str | None) -> int:
    """Writes the bundle whose graphs in FP32 have the variant's weights, all or one component's; returns how many values were replaced."""
    shutil.copytree(bundle.root, path, ignore=shutil.ignore_patterns("coreml", "fp16", "fp32-ort"))
    manifest, half, count = bundle.manifest, bundle.manifest.variant("coreml-fp16"), 0
    full = manifest.variant("fp32")
    for name, component in full.components.items():
        if only not in (None, name):
            continue
        graph = onnx.load(path / component.file)
        before, after = (weights(bundle.graph(v.components[name])) for v in (half, variant))
        count += with_weights(graph, before, after)
        onnx.save(graph, path / component.file)
    object.__setattr__(manifest, "variants", (full,))
    object.__setattr__(manifest, "default_variant", "fp32")
    object.__setattr__(manifest, "files", file_records(path))
    write_manifest(path, manifest)
    return count


def evaluate(judge: Evaluator, path: Path, config: EvaluateConfig, steps: int) -> dict[str, float]:
    """The distances of `fewstep evaluate`, Frechet's by the name of the real pictures, and the unbiased kernel distances."""
    generator = open_generator(str(path), SamplingChoice(steps=steps))
    found = judge.evaluate(generator, config).generated
    kernel = {f"kernel_{name}": distance.mean for name, distance in found.kernel.items()}
    return {**found.frechet, **kernel, "score": found.text_image["all"].similarity}


def decibels(found: Array, right: Array) -> float:
    """PSNR of the mean squared error of all pictures; at most 200."""
    return float(-10 * np.log10(max(np.square(found - right).mean(), 1e-20)))


def main() -> None:
    """Evaluates precision by precision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("precisions", nargs="*")
    parser.add_argument("--data", type=Path, default=Path("data/emoji-128"))
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument(
        "--only", help="The component that has the weights of the packages; the others keep theirs."
    )
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    settings = {"n": options.n, "seed": options.seed, "steps": options.steps, "only": options.only}
    name = Bundle.open(options.bundle).manifest.name
    earlier = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    runs = earlier["runs"] if earlier.get("bundle") == name else []
    same = [run for run in runs if all(run.get(key) == value for key, value in settings.items())]
    rows: dict[str, dict[str, float]] = same[0]["precisions"] if same else {}
    others = [run for run in runs if run not in same]
    judge = Evaluator(EmojiDataset(options.data))
    right, drawn = draw(options.bundle, "fp32"), dict[str, Array]()
    variants = {v.precision: v for v in Bundle.open(options.bundle).manifest.variants if v.engine == "coreml"}
    known = [precision for precision in variants if precision not in ("fp32", "int8")]
    for variant in [variants[precision] for precision in options.precisions or known]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rebuilt.fewstep"
            values = rebuilt(Bundle.open(options.bundle), variant, path, options.only)
            config = EvaluateConfig(options.n, options.seed) if options.n else None
            distances = evaluate(judge, path, config, options.steps) if config else {}
            drawn[variant.precision] = draw(path, "fp32")
            row = {"values": values, "psnr": decibels(drawn[variant.precision], right), **distances}
            rows[variant.precision] = {**rows.get(variant.precision, {}), **row}
        print(variant.precision, rows[variant.precision], flush=True)
        said = {**facts("onnxruntime", "coremltools", "numpy"), "bundle": name}
        RESULT.write_text(
            json.dumps({**said, "runs": [*others, {**settings, "precisions": rows}]}, indent=1) + "\n"
        )
    if options.sheet is not None:
        write_sheet(options.sheet, drawn)


if __name__ == "__main__":
    main()
