"""Time and memory of a 600 M-parameter denoiser (Sana) to a Core ML package, beside coremltools' own route from torch.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=2 python benchmarks/coreml_scale.py

Weights are random, in FP16 safetensors of the real configuration. Ours: graph on disk (tensor by tensor), FP16 graph on disk, package
with the weights mapped into memory, and the comparison with ONNX Runtime on the package read back. coremltools: the network in
memory, torch.export, and conversion to FP16. Every stage is a process of its own, whose largest resident set is its peak. Writes
results/coreml_scale.json.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from facts import facts

from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.large.child import in_child
from fewstep_export.large.component import load_weights
from fewstep_export.large.writer import save
from fewstep_export.passes.fp16 import ToFp16
from fewstep_export.session import runner

RESULT = Path(__file__).parent / "results" / "coreml_scale.json"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]


def stored(folder: Path) -> Any:
    """The case of export_at_scale.py with its weights in a folder."""
    from export_at_scale import CASES, Stored  # type: ignore[import-not-found] # lies beside this file

    return Stored(next(case for case in CASES if case.name == "sana-0.6b"), folder / "weights")


def write_weights(folder: Path) -> None:
    """Random weights."""
    from export_at_scale import write_random

    source = stored(folder)
    write_random(source.case, source.folder)


def export(folder: Path) -> None:
    """The FP32 graph."""
    import export_at_scale

    export_at_scale.export(stored(folder), folder / "denoiser.onnx")


def halve(folder: Path) -> None:
    """The FP16 graph with its FP32 islands."""
    (folder / "half").mkdir()
    save(ToFp16()(ir.load(folder / "denoiser.onnx")).model, folder / "half/denoiser.onnx")


def to_package(folder: Path) -> None:
    """The package of the FP16 graph."""
    model = onnx.load(str(folder / "half/denoiser.onnx"), load_external_data=False)
    convert(model, folder / "ours.mlpackage", ConvertConfig("iOS18"), folder / "half")


def compare(folder: Path, name: str) -> float:
    """The largest difference of a package, evaluated with FP16's rounding, from ONNX Runtime in FP32, relative to the largest output."""
    import export_at_scale

    feeds = export_at_scale.feeds(stored(folder).case)
    right = runner(folder / "denoiser.onnx")(feeds)["velocity"]
    found = Evaluator(folder / f"{name}.mlpackage", "fp16")(feeds)["velocity"]
    return float(np.abs(found - right).max() / np.abs(right).max())


def directly(folder: Path) -> None:
    """The way of coremltools' own frontend."""
    import export_at_scale
    from tests.export.coreml.direct import convert_directly

    source = stored(folder)
    network = source.network()
    load_weights(network.module.network, source.weights(), "denoiser")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        feeds = export_at_scale.feeds(source.case)
        convert_directly(
            network.module.float().eval(), feeds, ("velocity",), folder / "direct.mlpackage", half=True
        )


def main() -> None:
    """Runs stage by stage; a stage that fails is said to."""
    stages = {
        "weights": write_weights,
        "export": export,
        "half": halve,
        "package": to_package,
        "coremltools": directly,
    }
    rows: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stage, run in stages.items():
            try:
                done = in_child(stage, run, folder)
                rows[stage] = {"seconds": round(done.seconds, 1), "peak_bytes": done.peak_bytes}
            except RuntimeError as error:
                rows[stage] = {"failed": str(error).strip().splitlines()[-1]}
            print(stage, rows[stage], flush=True)
            packages = ("coremltools", "torch", "onnx")
            said = facts(*packages, threads=torch.get_num_threads())
            RESULT.write_text(json.dumps({**said, "stages": rows}, indent=1) + "\n")
        for package in folder.glob("*.mlpackage"):
            size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
            done = in_child("compare", compare, folder, package.stem)
            rows[f"{package.stem} package"] = {
                "bytes": size,
                "error": done.value,
                "peak_bytes": done.peak_bytes,
            }
            print(package.stem, rows[f"{package.stem} package"], flush=True)
        RESULT.write_text(json.dumps({**said, "stages": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
