"""The runtime and an INT8 bundle on ARM64, with the real aarch64 wheels under qemu, through ssh, against this machine.

`tools/arm64.sh FOLDER` makes the board (40 s, 0.7 GB, network); FEWSTEP_ARM64 names the folder, by default out/arm64.
"""

import base64
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.conftest import bundle, tiny

from fewstep.bundle import Bundle
from fewstep.devices.remote_bench import bundle_items, item_of
from fewstep.devices.transfer import send
from fewstep.devices.wheel import thin_wheel
from fewstep.devices.workspace import Workspace
from fewstep.pipeline import Pipeline

__all__ = ["bundle", "tiny"]
ROOT = Path(__file__).parents[3]
BOARD = Path(os.environ.get("FEWSTEP_ARM64", ROOT / "out/arm64"))
DRAW = """
import base64, json, platform, sys
from fewstep.pipeline import Pipeline
for variant in sys.argv[2:]:
    image = Pipeline(sys.argv[1], variant, 1).generate_array(["a red heart"], [7])
    data = base64.b64encode(image.tobytes()).decode()
    print(json.dumps([platform.machine(), variant, image.shape, data]))
"""


@pytest.fixture(scope="module")
def arm64() -> Path:
    """The board's Python."""
    done = subprocess.run(
        [ROOT / "tools/arm64.sh", BOARD],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return BOARD / "python3"


@pytest.fixture
def int8_bundle(bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with a build of eight bits."""
    copy = tmp_path / "tiny.fewstep"
    shutil.copytree(bundle, copy)
    quantize = [sys.executable, "-m", "fewstep", "quantize", str(copy), "--scheme", "int8", "--force"]
    subprocess.run(quantize, check=True, capture_output=True)
    return copy


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares ARM64 with x86")
def test_arm64_draws_what_x86_draws(
    arm64: Path, boards: Callable[..., Any], int8_bundle: Path, tmp_path: Path
) -> None:
    remote = boards().remote
    wheel, content = thin_wheel()
    (tmp_path / wheel).write_bytes(content)
    items = [item_of(tmp_path / wheel, wheel), *bundle_items(Bundle.open(int8_bundle), ("fp32", "int8"))]
    with Workspace(remote) as workspace:
        sent = send(remote, str(arm64), workspace.folder, items)  # the receiver too runs on ARM64
        assert sent == sum(item.size for item in items)
        words = [
            "env",
            f"PYTHONPATH={workspace.folder}/{wheel}",
            f"HOME={workspace.folder}",
            str(arm64),
            "-c",
            DRAW,
        ]
        done = remote.run([*words, f"{workspace.folder}/bundle", "fp32", "int8"], timeout=600.0)
    assert done.returncode == 0, done.stderr
    errors = {}
    for line in done.stdout.splitlines():
        machine, variant, shape, data = json.loads(line)
        assert machine == "aarch64"
        found = np.frombuffer(base64.b64decode(data), np.float32).reshape(shape)
        right = Pipeline(int8_bundle, variant, 1).generate_array(["a red heart"], [7])
        errors[variant] = float(np.sqrt(np.square(found - right).mean()))
    assert errors["fp32"] < 1e-5
    assert errors["int8"] < 0.02  # numbers that fall between two levels go either way
