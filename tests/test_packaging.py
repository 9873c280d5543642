"""The published wheel holds every file of every room, once, and installs no name besides the rooms' packages."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path for path in ROOT.glob("*/fewstep*") if path.is_dir() and path.name.isidentifier())


def _files(package: Path) -> set[str]:
    """The package's files as they must appear in the wheel, whatever pyproject.toml says."""
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(package.parent).as_posix() for path in files}


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in the wheel that is built from the sdist, the way a release is made: what the sdist loses is lost here too."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_holds_every_file_of_every_room(wheel_names: list[str]) -> None:
    expected = set().union(*(_files(package) for package in PACKAGES))
    installed = {name for name in wheel_names if ".dist-info/" not in name}
    assert installed == expected


def test_wheel_holds_no_file_twice(wheel_names: list[str]) -> None:
    assert len(wheel_names) == len(set(wheel_names))
    assert len({package.name for package in PACKAGES}) == len(PACKAGES), "two rooms hold one package"


def test_wheel_installs_no_other_top_level_name(wheel_names: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel_names}
    assert {name for name in top if not name.endswith(".dist-info")} == {package.name for package in PACKAGES}


def test_wheel_carries_the_licences(wheel_names: list[str]) -> None:
    licences = {Path(name).name for name in wheel_names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "ATTRIBUTION.md"}
