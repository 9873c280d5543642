"""What the runtime costs and what it never loads, each in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fewstep

HEAVY = ["torch", "onnx", "scipy", "transformers", "tensorflow", "diffusers", "safetensors"]

LOADED = """
import json, pathlib, sys
import {package}
status = pathlib.Path("/proc/self/status")  # ru_maxrss would include the parent's memory before exec
kilobytes = int(status.read_text().split("VmHWM:")[1].split()[0]) if status.exists() else 0
{body}
print(json.dumps({{"kilobytes": kilobytes, "modules": sorted(sys.modules)}}))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_generating_a_picture_never_loads_a_training_framework(tiny_bundle: Path) -> None:
    body = f"picture = fewstep.Pipeline({str(tiny_bundle)!r}).generate('a red heart')\nassert picture.size == (16, 16)"
    modules = json.loads(python("-c", LOADED.format(package="fewstep", body=body)).stdout)["modules"]
    assert "onnxruntime" in modules
    assert not [name for name in modules if name.split(".")[0] in HEAVY]


def test_import_is_cheap_and_loads_no_engine() -> None:
    """Counted in modules and pages beyond Python's own: the time of both depends on the machine."""
    bare, ours = (
        json.loads(python("-c", LOADED.format(package=p, body="")).stdout) for p in ("json", "fewstep")
    )
    assert ours["kilobytes"] - bare["kilobytes"] <= 10 * 1024
    assert len(ours["modules"]) - len(bare["modules"]) <= 40
    assert not {"numpy", "onnxruntime", "typer", "PIL"} & set(ours["modules"])


def test_help_loads_no_engine() -> None:
    done = python("-X", "importtime", "-m", "fewstep", "--help")
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not {"numpy", "onnxruntime", "rich", "PIL", *HEAVY} & loaded


def test_every_public_name_exists_and_nothing_else_is_promised() -> None:
    assert all(getattr(fewstep, name).__name__ == name for name in fewstep.__all__)
    assert fewstep.__all__ == sorted(fewstep._HOME)
    assert not hasattr(fewstep, "Scheduler")


def test_no_scheduler_class_exists() -> None:
    """The sampler is data: the word does not even occur in a class name."""
    sources = Path(fewstep.__file__).parent.rglob("*.py")
    assert not [
        line
        for p in sources
        for line in p.read_text().splitlines()
        if line.startswith("class") and "Sched" in line
    ]
