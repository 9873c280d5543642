"""The thin wheel, installed by pip into an environment of its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

from fewstep.devices.wheel import thin_wheel


def test_pip_installs_it_and_it_holds_the_runtime_alone(tmp_path: Path) -> None:
    name, content = thin_wheel()
    assert thin_wheel() == (name, content)
    (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / name) as archive:
        assert {Path(file).parts[0].partition("-")[0] for file in archive.namelist()} == {"fewstep"}
        metadata = archive.read(next(f for f in archive.namelist() if f.endswith("METADATA"))).decode()
    needs = {
        line.split()[1].split(">")[0] for line in metadata.splitlines() if line.startswith("Requires-Dist")
    }
    assert needs == {"numpy", "onnxruntime", "pillow", "rich", "tokenizers", "typer"}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "site", tmp_path / name], check=True)
    run = [sys.executable, "-S", "-c", "import fewstep.errors; print(fewstep.errors.__file__)"]
    done = subprocess.run(
        run, env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path / "site"))
