"""Too little memory ends in one sentence; many pictures take no more than few."""

import os
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
        [sys.executable, "-m", "fewstep.cli", *map(str, words)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ
        | {"OPENBLAS_NUM_THREADS": "1"},  # it reserves memory for every core, and ends the process without it
    )


def test_too_little_memory_is_one_sentence(tiny_bundle: Path, tmp_path: Path) -> None:
    """From where it draws to where nothing can be loaded; benchmarks/reliability/runtime_faults.py goes down to nothing."""
    refused = 0
    for mebibytes in (300, 240, 200):
        output = tmp_path / str(mebibytes) / "x.png"
        done = limited(mebibytes, "generate", tiny_bundle, "a heart", "-o", output, "--threads", 1)
        lines = [line for line in done.stderr.splitlines() if "are not available" not in line]
        if done.returncode:
            assert done.returncode == 2 and len(lines) == 1, done.stderr
            assert lines[0].startswith("fewstep: expected ") and not output.exists()
            refused += 1
    assert refused


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
