"""INT8 denoisers beside each other: ONNX Runtime FP32, ONNX Runtime with our INT8, OpenVINO FP32 and INT8 (nncf), in rounds.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/int8.py sana unet dit --rounds 15
    OMP_WAIT_POLICY=PASSIVE python benchmarks/int8.py --bundle emoji-128.fewstep --steps 8

A model is exported once (random weights, but for the bundle's denoiser, whose inputs the sampler makes), quantised once by each from the
same 8 calls, and measured on others. Every round runs each contender once, in an order that turns; medians count. The integer peak is that
of a 2048^3 `MatMulInteger` in the same process. Writes results/int8.json, one entry a model and number of threads; entries of other
models stay. Needs nncf and openvino beside fewstep's own extras.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fewstep.bench.device import this_device
from fewstep.bundle import Bundle
from fewstep.records import to_json
from fewstep_quantization.building import Inputs
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.explain import explain_model
from fewstep_quantization.layers import multiplications
from fewstep_quantization.pictures import Source
from fewstep_quantization.prepare import prepare
from fewstep_quantization.sessions import session
from fewstep_quantization.static_graph import quantise_graph
from fewstep_quantization.trajectory import Trajectory, mean_relative_error, record

sys.path.insert(0, str(Path(__file__).parent))
from int8_models import NAMES, export, feeds

TARGET = Path(__file__).parent / "results" / "int8.json"
CALIBRATED, JUDGED = 8, 5
Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def calls_of(name: str, bundle: Path | None, steps: int) -> Trajectory:
    """13 calls: those to calibrate on, then those to judge by."""
    if bundle is None:
        return [feeds(name, seed) for seed in (*range(100, 100 + CALIBRATED), *range(JUDGED))]
    table = Bundle.open(bundle).step_table(steps, None)
    config = QuantizeConfig(bundle, "int8", steps=steps, pictures=4)
    inputs = Inputs.load(config, table)
    seen = record(Source(inputs.bundle), inputs.graphs, inputs.calibration, CALIBRATED)["denoiser"]
    others = replace(inputs.calibration, first_seed=5000, prompts=inputs.calibration.prompts[::-1])
    return [*seen, *record(Source(inputs.bundle), inputs.graphs, others, JUDGED)["denoiser"]]


def made(path: Path, make: Callable[[Path], object]) -> Path:
    """The file, made if it is not there."""
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        make(path)
    return path


def nncf_int8(graph: Path, target: Path, calls: Trajectory) -> None:
    """What OpenVINO's own tool makes of the graph, for transformers, in OpenVINO's format."""
    import nncf
    import openvino

    model = openvino.Core().read_model(graph)
    data = nncf.Dataset([dict(call) for call in calls])
    quantised = nncf.quantize(
        model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(calls), fast_bias_correction=True
    )
    openvino.save_model(quantised, target, compress_to_fp16=False)


def with_onnxruntime(path: Path, threads: int) -> Run:
    """The first output of a graph in ONNX Runtime."""
    loaded = session(path, threads)
    names = [node.name for node in loaded.get_inputs()]
    return lambda given: loaded.run(None, {name: given[name] for name in names})[0]


def with_openvino(path: Path, threads: int, precision: str) -> Run:
    """The first output of a graph in OpenVINO; `precision` is what it may compute float work in."""
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
    return lambda given: np.array(next(iter(request.infer(dict(given)).values())))


def integer_peak(threads: int, size: int = 2048) -> float:
    """Operations a second of the best of 7 products."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 255, (size, size)).astype(np.uint8)
    w = numpy_helper.from_array(generator.integers(-127, 127, (size, size)).astype(np.int8), "w")
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    value = [helper.make_tensor_value_info(n, t, [size, size]) for n, t in (("x", 2), ("y", 6))]
    graph = helper.make_graph([node], "peak", value[:1], value[1:], [w])
    loaded = session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), threads)  # fmt: skip
    times = []
    for _ in range(7):
        begin = perf_counter()
        loaded.run(None, {"x": x})
        times.append(perf_counter() - begin)
    return 2 * size**3 / min(times)


def in_rounds(
    runs: Mapping[str, Run], given: Mapping[str, np.ndarray], rounds: int
) -> dict[str, list[float]]:
    """Seconds by contender; the first of a round changes from one to the next."""
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for k in range(-3, rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            sleep(0.001)
            begin = perf_counter()
            runs[name](given)
            if k >= 0:
                times[name].append(perf_counter() - begin)
    return times


def measure(files: Mapping[str, Path], calls: Trajectory, threads: int, rounds: int, operations: float) -> dict[str, Any]:  # fmt: skip
    """Figures of one model with so many threads."""
    runs = {
        "ort_fp32": with_onnxruntime(files["fp32"], threads),
        "ort_int8": with_onnxruntime(files["int8"], threads),
        "openvino_fp32": with_openvino(files["fp32"], threads, "f32"),
    }
    if "nncf" in files:
        runs["openvino_int8"] = with_openvino(files["nncf"], threads, "f32")
        runs["openvino_int8_bf16"] = with_openvino(files["nncf"], threads, "bf16")
    expected = [runs["ort_fp32"](call) for call in calls]
    errors = {
        name: mean_relative_error([run(call) for call in calls], expected) for name, run in runs.items()
    }
    peak = integer_peak(threads)
    times = in_rounds(runs, calls[0], rounds)
    medians = {name: statistics.median(found) for name, found in times.items()}
    ours = times["ort_int8"]
    return {
        "threads": threads,
        "milliseconds": {name: round(1e3 * value, 3) for name, value in medians.items()},
        "least_milliseconds": {name: round(1e3 * min(found), 3) for name, found in times.items()},
        "relative_error": errors,
        "int8_over": {
            name: statistics.median(a / b for a, b in zip(found, ours, strict=True))
            for name, found in times.items()
            if name != "ort_int8"
        },
        "integer_peak_gops": round(peak / 1e9, 1),
        "share_of_integer_peak": operations / medians["ort_int8"] / peak,
        "profile": [to_json(kind) for kind in explain_model(files["int8"], calls[0], {}, threads)][:10],
    }


def one(name: str, work: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every figure of one model."""
    bundle: Path | None = options.bundle if name not in NAMES else None
    calls = calls_of(name, bundle, options.steps)
    learned, judged = calls[:CALIBRATED], calls[CALIBRATED:]
    if bundle is None:
        fp32 = made(work / f"{name}.onnx", lambda path: export(name, path))
    else:
        opened = Bundle.open(bundle)
        fp32 = opened.file(opened.manifest.variant("fp32").components["denoiser"].file)
    ours = made(
        work / f"{name}-int8.onnx", lambda path: onnx.save(quantise_graph(onnx.load(fp32), learned)[0], path)
    )
    files = {"fp32": fp32, "int8": ours}
    if not options.without_nncf:
        files["nncf"] = made(work / f"{name}-nncf.xml", lambda path: nncf_int8(fp32, path, learned))
    batch = len(judged[0]["latents"])
    operations = 2 * batch * sum(multiplications(prepare(onnx.load(fp32), spatial=True)).values())
    sizes = {
        n: (path.with_suffix(".bin") if n == "nncf" else path).stat().st_size for n, path in files.items()
    }
    shared = {
        "model": NAMES.get(name, name),
        "batch": batch,
        "operations": operations,
        "bytes": sizes,
        "rounds": options.rounds,
        "date": datetime.now(UTC).date().isoformat(),
        "command": options.command,
        "device": to_json(this_device()),
        "load_average": os.getloadavg()[0],
        "versions": {n: version(n) for n in ("onnxruntime", "openvino", "nncf", "numpy", "torch")}
        | {"python": platform.python_version()},
    }
    return [shared | measure(files, judged, t, options.rounds, operations) for t in options.threads]


def write(entries: Sequence[Mapping[str, Any]]) -> None:
    """Puts the entries in the place of older ones of the same model and threads."""
    old = json.loads(TARGET.read_text()) if TARGET.exists() else []
    new = {(entry["model"], entry["threads"]) for entry in entries}
    kept = [entry for entry in old if (entry["model"], entry["threads"]) not in new]
    TARGET.write_text(json.dumps([*kept, *entries], indent=1) + "\n")


def main() -> None:
    """Reads the options, measures, and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", choices=[*NAMES, []], help="of the random ones")
    parser.add_argument("--bundle", type=Path, help="a bundle with the variant fp32, measured too")
    parser.add_argument("--steps", type=int, default=8, help="of the bundle's sampler")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", type=Path, default=Path("out/int8"), help="folder for graphs")
    parser.add_argument("--without-nncf", action="store_true", help="leave OpenVINO INT8 out")
    parser.add_argument("--only-make", action="store_true", help="make the graphs, measure nothing")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    words = [*options.models, *(["--bundle", options.bundle.name] if options.bundle else [])]
    options.command = " ".join(["python benchmarks/int8.py", *words, f"--rounds {options.rounds}"])
    if options.only_make:
        options.threads = []
    for name in [*options.models, *([options.bundle.stem] if options.bundle else [])]:
        if entries := one(name, options.work, options):
            write(entries)


if __name__ == "__main__":
    main()
