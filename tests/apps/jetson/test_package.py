"""What `fewstep package --app jetson` writes, and its installation, here; no board was at hand."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep_apps.config import PackageConfig
from fewstep_apps.jetson.package import package_jetson


def test_the_kit_installs_and_knows_its_bundle(app_bundle: Path, tmp_path: Path) -> None:
    made = package_jetson(PackageConfig(app_bundle, "jetson", tmp_path / "kit"))
    assert made.variant == "fp16"
    bundle = Bundle.open(made.output / "tiny.fewstep")
    bundle.verify()
    assert [variant.name for variant in bundle.manifest.variants] == ["fp16"]
    assert "the fewstep tests" in (made.output / "licences.html").read_text()
    # What the wheel needs lies here already; only the wheel itself is installed.
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PIP_NO_DEPS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    said = subprocess.run(
        [str(made.output / "install.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert f'fewstep-jetson build "{made.output}/tiny.fewstep"' in said.stdout
    command = [str(made.output / "venv" / "bin" / "fewstep-jetson"), "unit", str(bundle.root), "--user", "me"]
    environment["PYTHONPATH"] = sysconfig.get_paths()[
        "purelib"
    ]  # no .pth there is read: fewstep comes from the wheel
    unit = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert unit.returncode == 0, unit.stderr
    assert f"ExecStart={made.output}/venv/bin/fewstep-jetson serve {bundle.root}" in unit.stdout


def test_no_python_is_told(app_bundle: Path, tmp_path: Path) -> None:
    made = package_jetson(PackageConfig(app_bundle, "jetson", tmp_path / "kit"))
    done = subprocess.run(
        [str(made.output / "install.sh")],
        env={**os.environ, "PYTHON": "python9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("expected Python 3.11 or newer, found none")
    assert not (made.output / "venv").exists()


def test_a_bundle_without_half_precision_is_refused(app_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="found fp32-ort"):
        package_jetson(PackageConfig(app_bundle, "jetson", tmp_path / "kit", ("fp32-ort",)))
    assert not (tmp_path / "kit").exists()
