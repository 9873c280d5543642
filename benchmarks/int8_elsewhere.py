"""One INT8 bundle on three machines: x86, WebAssembly (node) and ARM64 (qemu); are the pictures the same, and do integers compute them?

    npm ci --prefix apps/web && tools/arm64.sh out/arm64
    python benchmarks/int8_elsewhere.py emoji-128-4step.fewstep --variant int8 --arm64 out/arm64/python3

Every call that x86 makes for one picture is recorded and run again elsewhere on the same inputs: differences are those of one graph. On
ARM64 the whole picture is drawn too, by the runtime's own loop. Two builds of ONNX Runtime round sums in another order, which moves a few values by one
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

from fewstep.bench.device import this_device
from fewstep.bundle import Bundle
from fewstep.network import Feeds, Network
from fewstep.records import to_json
from fewstep.text_to_image import Drawing
from fewstep_quantization.pictures import Source, psnr
from fewstep_quantization.sessions import network_of, session

HERE = Path(__file__).parent
TARGET = HERE / "results" / "int8_elsewhere.json"
PROMPT, SEED = "a red heart, 3d style", 7
_ON_THE_BOARD = """
import collections, json, sys, time
import numpy as np, onnxruntime as ort
folder, what = sys.argv[1], {}
calls = json.load(open(folder + "/calls.json"))
for graph in sorted({call["graph"] for call in calls}):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, folder + "/profile"
    session = ort.InferenceSession(folder + "/" + graph, options, providers=["CPUExecutionProvider"])
    for call in calls:
        if call["graph"] == graph:
            feeds = {n: np.fromfile(folder + "/" + i["file"], i["type"]).reshape(i["shape"]) for n, i in call["inputs"].items()}
            session.run([call["output"]["name"]], feeds)[0].tofile(folder + "/" + call["output"]["file"])
    events = json.load(open(session.end_profiling()))
    nodes = {e["name"]: e["args"]["op_name"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")}
    what[graph] = collections.Counter(nodes.values())
print(json.dumps({"operators": what, "version": ort.__version__}))
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


def measure(bundle: Bundle, variant: str, board: Path | None) -> dict[str, Any]:
    """The figures of one variant."""
    calls, picture = recorded(bundle, variant)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(calls, bundle, variant, folder)
        told = subprocess.run(
            ["node", HERE / "int8_wasm.mjs", folder], check=True, capture_output=True, text=True
        )
        answer = json.loads(told.stdout.splitlines()[-1])
        times: dict[str, list[float]] = {}
        for entry in answer["times"]:
            times.setdefault(Path(entry["graph"]).stem, []).append(entry["milliseconds"])
        result["wasm"] = {
            "onnxruntime": answer["version"],
            "differences": differences(calls, folder),
            "milliseconds": {component: min(found) for component, found in times.items()},
        }
        if board is not None:
            told = subprocess.run(
                [board, "-c", _ON_THE_BOARD, folder], check=True, capture_output=True, text=True
            )
            answer = json.loads(told.stdout.splitlines()[-1])
            result["arm64"] = {
                "onnxruntime": answer["version"],
                "differences": differences(calls, folder),
                "operators": answer["operators"],
                "picture": drawn_on(board, bundle, variant, picture, folder),
            }
    return result


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
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    words = [options.bundle.name, f"--variant {options.variant}", "--arm64 ..." if options.arm64 else ""]
    result = {
        "command": " ".join(["python benchmarks/int8_elsewhere.py", *words]).strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "device": to_json(this_device()),
        "threads": 1,
        "prompt": PROMPT,
        "seed": SEED,
        "variants": {name: measure(bundle, name, options.arm64) for name in ("fp32", options.variant)},
    }
    TARGET.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
