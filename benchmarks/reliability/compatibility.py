"""fewstep with the lowest and the newest versions of what it needs, on every Python that is here.

    python benchmarks/reliability/compatibility.py --python 3.12 --versions lowest
    python benchmarks/reliability/compatibility.py --python 3.11 --versions lowest --extra export --extra coreml

Makes a virtual environment, installs the wheel of this checkout with every dependency of pyproject.toml at its lower bound ("lowest") or at whatever pip
takes ("newest"), and lets it do what a user does: with the runtime alone `info`, `verify`, `pack`, `generate` on the tests' tiny bundle, whose picture must be
the one of this environment (to 2 of 255 levels); with the extra `export` it exports the tests' tiny checkpoint, verifies and draws, with `coreml`
too as a package of Core ML. Adds to results/reliability.json what was installed and how it went. With `export` it takes 8 GB of disk and minutes to
download where the index has torch for CUDA alone.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from record import record
from seeds import tiny_bundle

from fewstep.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
PROMPT, SEED = "a red heart", 7
TOLD = (
    "numpy",
    "onnxruntime",
    "pillow",
    "rich",
    "tokenizers",
    "typer",
    "torch",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "safetensors",
    "coremltools",
)


def requirements(extras: Sequence[str], lowest: bool) -> list[str]:
    """What pyproject.toml asks for, at its lower bounds if so wanted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(text for extra in extras for text in project["optional-dependencies"][extra]),
    ]
    wanted += ["pytest"] if extras else []  # the tests' checkpoint is made by a fixture
    return [re.sub(r">=", "==", text) if lowest else text for text in wanted]


def run(words: Sequence[object], **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False, timeout=2400, **options
    )


def steps(python: Path, extras: Sequence[str], folder: Path) -> Iterator[tuple[str, list[object]]]:
    """What a user does, by name."""
    fewstep = [python, "-m", "fewstep"]
    bundle = folder / "tiny.fewstep"
    if "export" in extras:
        targets = ["ort", *(["coreml"] if "coreml" in extras else [])]
        yield "export", [python, "-c", EXPORT, ROOT, folder / "exported.fewstep", *targets]
        yield "verify what was exported", [*fewstep, "verify", folder / "exported.fewstep"]
        yield (
            "draw what was exported",
            [*fewstep, "generate", folder / "exported.fewstep", PROMPT, "-o", folder / "exported.png"],
        )
    yield "info", [*fewstep, "info", bundle]
    yield "verify", [*fewstep, "verify", bundle]
    yield "pack", [*fewstep, "pack", bundle, "-o", folder / "tiny.zip"]
    yield (
        "generate",
        [*fewstep, "generate", folder / "tiny.zip", PROMPT, "--seed", SEED, "-o", folder / "picture.png"],
    )


EXPORT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tempfile
from tests.export import conftest as tiny
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_export.checkpoints.native import build_native
tokenizer = tiny.save_tokenizer(Path(tempfile.mkdtemp()) / "tokenizer.json")
generator = build_native(tiny.tiny_checkpoint(), "0" * 64, tiny.tiny_text_encoder(), tokenizer)
export_generator(generator, ExportConfig("tiny", Path(sys.argv[2]), tuple(sys.argv[3:])))
"""


def versions_of(python: Path) -> dict[str, str]:
    """What is installed there."""
    done = run([python, "-m", "pip", "list", "--format", "json"])
    found = {entry["name"].lower(): entry["version"] for entry in json.loads(done.stdout or "[]")}
    return {name: found[name] for name in TOLD if name in found}


def tried(interpreter: str, extras: Sequence[str], lowest: bool, folder: Path) -> dict[str, Any]:
    """Installs and uses it; the first thing that goes wrong ends it, with its last line."""
    environment = folder / "venv"
    made = run([interpreter, "-m", "venv", environment])
    if made.returncode:
        return {"result": f"no such Python here: {_last(made.stderr)}"}
    python = environment / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"])
    wheels = run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT])
    if wheels.returncode:
        return {"result": f"no wheel: {_last(wheels.stderr)}"}
    wheel = next(folder.glob("fewstep-*.whl"))
    installed = run([python, "-m", "pip", "install", "--quiet", wheel, *requirements(extras, lowest)])
    if installed.returncode:
        return {"result": f"not installed: {_last(installed.stderr)}"}
    found = {"versions": versions_of(python)}
    for name, words in steps(python, extras, folder):
        done = run(words)
        if done.returncode:
            return {**found, "result": f"{name}: {_last(done.stderr)}"}
    with Image.open(folder / "picture.png") as picture:
        difference = np.abs(np.asarray(picture, dtype=np.int16) - _right(folder / "tiny.fewstep")).max()
    return {
        **found,
        "largest difference of 255": int(difference),
        "result": "works" if difference <= 2 else "another picture",
    }


def _right(bundle: Path) -> Any:
    return np.asarray(Pipeline(bundle).generate(PROMPT, SEED), dtype=np.int16)


def _last(text: str) -> str:
    """The last line that says something, without where this machine keeps its files."""
    lines = [line for line in text.splitlines() if line.strip() and "notice" not in line]
    return re.sub(r"(/[\w.-]+)+/", "", lines[-1])[:200] if lines else "no reason given"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True, help="like 3.12")
    parser.add_argument("--versions", choices=["lowest", "newest"], required=True)
    parser.add_argument("--extra", choices=["export", "coreml"], action="append", default=[])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="compatibility-"))
    try:
        for name, data in tiny_bundle().items():
            path = folder / "tiny.fewstep" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        found = tried(f"python{options.python}", options.extra, options.versions == "lowest", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=1))
    what = " + ".join(options.extra) or "runtime"
    record(["compatibility", f"{what}, Python {options.python}, {options.versions}"], found)


if __name__ == "__main__":
    main()
