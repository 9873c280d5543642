"""One INT8 bundle on three machines: x86, WebAssembly (node) and ARM64 (qemu); are the pictures the same, and do integers compute them?

    npm ci --prefix apps/web && tools/arm64.sh out/arm64
    python benchmarks/int8_elsewhere.py emoji-128-4step.fewstep --variant int8 --arm64 out/arm64/python3

With --no-wasm or without --arm64 that machine's figures stay as the file has them.
Every call that x86 makes for one picture is recorded and run again elsewhere on the same inputs: differences are those of one graph. On
ARM64 the whole picture of the INT8 build is drawn too, by the runtime's own loop, and integer products of the whole range of values are compared with exact ones; of
FP32, which qemu computes in software and ten times as slowly, one call of each graph is run. Two builds of ONNX Runtime round sums in another order, which moves a few values by one
level of 8 bits. The FP32 variant runs beside it: what it differs by is no matter of INT8. Writes results/int8_elsewhere.json.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fewstep.bench.device import this_device
from fewstep.bundle import Bundle
from fewstep.network import Feeds, Network
from fewstep.records import to_json
from fewstep.text_to_image import Drawing
from fewstep_quantization.graph import CONTRIB
from fewstep_quantization.pictures import Source, psnr
from fewstep_quantization.sessions import network_of, session

HERE = Path(__file__).parent
TARGET = HERE / "results" / "int8_elsewhere.json"
FP32 = "fp32"
PROMPT, SEED = "a red heart, 3d style", 7
_ON_THE_BOARD = """
import collections, json, sys, time
import numpy as np, onnxruntime as ort
folder, what, seconds = sys.argv[1], {}, {}
calls = json.load(open(folder + "/calls.json"))
for graph in sorted({call["graph"] for call in calls}):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, folder + "/profile"
    session = ort.InferenceSession(folder + "/" + graph, options, providers=["CPUExecutionProvider"])
    for call in calls:
        if call["graph"] == graph:
            feeds = {n: np.fromfile(folder + "/" + i["file"], i["type"]).reshape(i["shape"]) for n, i in call["inputs"].items()}
            begin = time.perf_counter()
            found = session.run([call["output"]["name"]], feeds)[0]
            seconds.setdefault(graph, []).append(round(time.perf_counter() - begin, 2))
            found.tofile(folder + "/" + call["output"]["file"])
    events = json.load(open(session.end_profiling()))
    nodes = {e["name"]: e["args"]["op_name"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")}
    what[graph] = collections.Counter(nodes.values())
print(json.dumps({"operators": what, "version": ort.__version__, "seconds": seconds}))
"""


def recorded(bundle: Bundle, variant: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Every call of one picture: component, inputs and outputs; and the picture."""
    calls: list[dict[str, Any]] = []

    def recording(name: str, inner: Network) -> Network:
        def run(feeds: Feeds) -> Feeds:
            outputs = dict(inner(feeds))
            used = {key: feeds[key].copy() for key in inner.inputs}
            calls.append({"component": name, "inputs": used, "outputs": outputs})
            return outputs

        return Network(inner.inputs, run)

    networks = {
        name: recording(name, network_of(session(bundle.graph(c), 1), [spec.name for spec in c.outputs]))
        for name, c in bundle.manifest.variant(variant).components.items()
    }
    table = bundle.step_table(None, None)
    picture = Source(bundle).text_to_image(networks).draw(Drawing([PROMPT], [SEED], table))
    return calls, picture


def write(
    calls: Sequence[Mapping[str, Any]], bundle: Bundle, variant: str, folder: Path
) -> list[dict[str, Any]]:
    """The graphs, the inputs as raw numbers, and calls.json."""
    listed = []
    for name, component in bundle.manifest.variant(variant).components.items():
        (folder / f"{name}.onnx").write_bytes(bundle.graph(component).read_bytes())
    for k, call in enumerate(calls):
        inputs = {}
        for name, value in call["inputs"].items():
            file = f"{k}-{name}"
            np.ascontiguousarray(value).tofile(folder / file)
            inputs[name] = {"file": file, "type": value.dtype.name, "shape": list(value.shape)}
        (output,) = call["outputs"]
        listed.append({"graph": f"{call['component']}.onnx", "inputs": inputs, "output": {"name": output, "file": f"{k}-out"}})  # fmt: skip
    (folder / "calls.json").write_text(json.dumps(listed))
    return listed


def differences(calls: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, dict[str, float]]:
    """By component the largest difference, that over the output's largest value, and the relative one in the Euclidean norm."""
    found: dict[str, dict[str, float]] = {}
    for k, call in enumerate(calls):
        (expected,) = call["outputs"].values()
        result = np.fromfile(folder / f"{k}-out", np.float32).reshape(expected.shape)
        error = np.abs(result - expected)
        row = found.setdefault(call["component"], {"largest": 0.0, "mean": 0.0, "relative": 0.0})
        row["largest"] = max(row["largest"], float(error.max()))
        row["mean"] = max(row["mean"], float(error.mean()))
        row["relative"] = max(row["relative"], float(np.linalg.norm(error) / np.linalg.norm(expected)))
    return found


def exact_product(board: Path, folder: Path) -> dict[str, float]:
    """The largest difference of `MatMulIntegerToFloat` (u8 times s8, all values there are) on the board from the exact sums."""
    rows, inner, columns = 64, 512, 96
    random = np.random.default_rng(0)
    a = random.integers(0, 256, (rows, inner), dtype=np.uint8)
    b = random.integers(-128, 128, (inner, columns), dtype=np.int8)
    a[0], b[:, 0], b[:, 1] = 255, 127, -128  # where sums of pairs overflow 16 bits
    weights = [("b", b), ("a_scale", np.float32(1)), ("b_scale", np.ones(columns, np.float32)), ("a_zero", np.uint8(0))]  # fmt: skip
    node = helper.make_node("MatMulIntegerToFloat", ["a", "b", "a_scale", "b_scale", "a_zero"], ["y"], domain=CONTRIB)  # fmt: skip
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [rows, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, columns])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(CONTRIB, 1)]
    (folder / "product.onnx").write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    )
    a.tofile(folder / "a")
    inputs = {"a": {"file": "a", "type": "uint8", "shape": [rows, inner]}}
    call = {"graph": "product.onnx", "inputs": inputs, "output": {"name": "y", "file": "y"}}
    (folder / "calls.json").write_text(json.dumps([call]))
    on_board(board, folder)
    found = np.fromfile(folder / "y", np.float32).reshape(rows, columns)
    exact = a.astype(np.int64) @ b.astype(np.int64)
    return {
        "largest_difference": float(np.abs(found - exact).max()),
        "largest_sum": float(np.abs(exact).max()),
    }


def on_board(board: Path, folder: Path) -> dict[str, Any]:
    """Runs the calls of the folder there; operators, version and seconds."""
    told = subprocess.run([board, "-c", _ON_THE_BOARD, folder], check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def measure(bundle: Bundle, variant: str, board: Path | None, wasm: bool) -> dict[str, Any]:
    """The figures of one variant."""
    calls, picture = recorded(bundle, variant)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(calls, bundle, variant, folder)
        if wasm:
            result["wasm"] = in_node(calls, folder)
        if board is not None:
            whole = variant != FP32
            if not whole:
                calls = list({call["component"]: call for call in calls}.values())
                write(calls, bundle, variant, folder)
            answer = on_board(board, folder)
            result["arm64"] = {
                "onnxruntime": answer["version"],
                "differences": differences(calls, folder),
                "operators": answer["operators"],
                "seconds_in_qemu": answer["seconds"],
            }
            if whole:
                result["arm64"]["picture"] = drawn_on(board, bundle, variant, picture, folder)
                result["arm64"]["MatMulIntegerToFloat"] = exact_product(board, folder)
    return result


def in_node(calls: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """The figures of WebAssembly."""
    told = subprocess.run(
        ["node", HERE / "int8_wasm.mjs", folder], check=True, capture_output=True, text=True
    )
    answer = json.loads(told.stdout.splitlines()[-1])
    times: dict[str, list[float]] = {}
    for entry in answer["times"]:
        times.setdefault(Path(entry["graph"]).stem, []).append(entry["milliseconds"])
    return {
        "onnxruntime": answer["version"],
        "differences": differences(calls, folder),
        "milliseconds": {component: min(found) for component, found in times.items()},
    }


def drawn_on(
    board: Path, bundle: Bundle, variant: str, expected: np.ndarray, folder: Path
) -> dict[str, float]:
    """The whole picture by the runtime's loop on the board, against that of x86."""
    code = (
        "import sys, numpy as np; from fewstep.pipeline import Pipeline; "
        f"p = Pipeline(sys.argv[1], {variant!r}, 1); np.save(sys.argv[2], p.generate_array([{PROMPT!r}], [{SEED}]))"
    )
    file = folder / "picture.npy"
    runtime = str(HERE.parent / "runtime")
    subprocess.run([board, "-c", code, bundle.root, file], check=True, env={"PYTHONPATH": runtime, "PATH": "/usr/bin:/bin"})  # fmt: skip
    found = np.load(file)
    error = np.abs(found - expected)
    return {"largest": float(error.max()), "mean": float(error.mean()), "psnr": psnr(found, expected)[0]}


def main() -> None:
    """Reads the options, compares, writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--arm64", type=Path, help="the board's Python, of tools/arm64.sh")
    parser.add_argument("--no-wasm", action="store_true", help="leave node out")
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    words = [options.bundle.name, f"--variant {options.variant}"]
    words += ["--arm64 ..."] * bool(options.arm64) + ["--no-wasm"] * options.no_wasm
    before = json.loads(TARGET.read_text())["variants"] if TARGET.exists() else {}
    found = {
        name: measure(bundle, name, options.arm64, not options.no_wasm) for name in (FP32, options.variant)
    }
    result = {
        "command": " ".join(["python benchmarks/int8_elsewhere.py", *words]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": to_json(this_device()),
        "threads": 1,
        "prompt": PROMPT,
        "seed": SEED,
        "variants": {name: before.get(name, {}) | found[name] for name in found},
    }
    TARGET.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
