"""The bare install is the runtime: in a new environment, with the base dependencies alone, it imports and answers."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Where the tested versions are pinned; a bare install must get along with a subset of them.
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS_ONLY = ("torch", "onnx", "onnxscript", "safetensors", "accelerate", "resvg_py")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the programs of a new virtual environment that holds the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    # The pip of this environment installs into the new one: the pip that Python brings may be too old.
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    subprocess.run([*pip, "-c", str(CONSTRAINTS), str(wheel)], check=True)
    return programs


def _run(*command: str | Path) -> str:
    """Standard output of a command that is run away from the repository and must succeed."""
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(command[0]).parent, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow  # installs from the package index
def test_runtime_imports_with_every_public_name(bare: Path) -> None:
    program = "import fewstep; print([getattr(fewstep, name) for name in fewstep.__all__])"
    assert "Pipeline" in _run(bare / "python", "-c", program)


@pytest.mark.slow
def test_command_answers(bare: Path) -> None:
    text = _run(bare / "fewstep", "--help")
    assert all(command in text for command in ("generate", "bench", "info", "verify"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTRAS_ONLY)
def test_environment_is_bare(bare: Path, name: str) -> None:
    """Else the two tests above would prove nothing."""
    program = f"from importlib.util import find_spec; print(find_spec({name!r}))"
    assert _run(bare / "python", "-c", program).strip() == "None"
