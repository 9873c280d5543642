"""Too little memory ends in one sentence; many pictures take no more than few."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.pipeline import Pipeline

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and /proc are Linux's")


def limited(mebibytes: int, *words: object) -> "subprocess.CompletedProcess[str]":
    limit = mebibytes << 20
    return subprocess.run(
        [sys.executable, "-m", "fewstep", *map(str, words)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_too_little_memory_is_one_sentence(tiny_bundle: Path, tmp_path: Path) -> None:
    """From where it draws to where Python itself can hardly begin; benchmarks/reliability/runtime_faults.py tries more."""
    refused = 0
    for mebibytes in (300, 240, 120, 60, 24):  # with 120 MiB numpy's OpenBLAS would end the process
        output = tmp_path / str(mebibytes) / "x.png"
        done = limited(mebibytes, "generate", tiny_bundle, "a heart", "-o", output, "--threads", 1)
        lines = [line for line in done.stderr.splitlines() if "are not available" not in line]
        if done.returncode:
            assert done.returncode == 2 and len(lines) == 1, done.stderr
            assert lines[0].startswith("fewstep: expected ") and not output.exists()
            refused += 1
    assert refused >= 3


def test_too_little_memory_for_a_graph_is_not_called_a_broken_graph(tiny_bundle: Path) -> None:
    code = f"""
import resource
import traceback
import numpy
from fewstep.bundle import Bundle
from fewstep.engines.onnxruntime import OnnxRuntimeEngine
bundle = Bundle.open({str(tiny_bundle)!r})
decoder = bundle.manifest.variants[0].components["decoder"]
engine = OnnxRuntimeEngine(bundle.graph(decoder), decoder, threads=1)
feeds = {{"latents": numpy.zeros((20000, *bundle.manifest.latent.shape), numpy.float32)}}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20), used + (4 << 20)))
try:
    engine.run(feeds)
except MemoryError as error:
    print("MemoryError of", traceback.extract_tb(error.__traceback__)[-1].name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout == "MemoryError of _require_memory\n" and not done.stderr, done.stderr


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.slow
def test_a_thousand_pictures_take_no_more_memory_than_a_hundred(tiny_bundle: Path) -> None:
    pipeline = Pipeline(tiny_bundle, threads=1)
    tables = [pipeline.bundle.step_table(steps, "flow-euler") for steps in (1, 4)]
    for k in range(100):
        pipeline.generate("a red heart", k, tables[k % 2], guidance=1.0 + k % 2)
    before = resident()
    for k in range(900):
        pipeline.generate("a red heart", k, tables[k % 2], guidance=1.0 + k % 2)
    assert resident() <= 1.01 * before
