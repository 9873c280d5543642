"""Installs fewstep, editable, with everything that the named extras need: every file of it must have a SHA-256 of hashes.txt.

    .venv/bin/python tools/environment.py export,train,dev

pip looks at a file's hash before it opens the file, and takes neither a package that hashes.txt lacks nor one that is changed, from
whatever index or folder it comes. Only the checkout itself has no hash; it is built by the hatchling that was just checked.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
HASHES = ROOT / "hashes.txt"
# pip calls another pip to build the few packages that are published without wheels; what it installs for that is checked too.
CHECKED = ["--require-hashes", "-c", str(HASHES), "--build-constraint", str(HASHES)]


def requirements(extras: Iterable[str]) -> list[str]:
    """What pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [project["optional-dependencies"][extra] for extra in extras]
    return [*project["dependencies"], *(text for texts in wanted for text in texts)]


def pinned(name: str) -> str:
    """The lines of hashes.txt about one package."""
    return re.search(rf"(?m)^{name}==(?:.*\\\n)*.*\n", HASHES.read_text(encoding="utf-8"))[0]


def pip(folder: Path, wanted: str, *options: str) -> None:
    """Installs what the lines of a requirements file ask for."""
    file = folder / "wanted.txt"
    file.write_text(wanted, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-r", str(file), *options], check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        # The pip that comes with Python 3.11 does not look for hashes among constraints.
        pip(Path(name), pinned("pip"), "--require-hashes")
        pip(Path(name), "\n".join(requirements(sys.argv[1].split(","))), *CHECKED)
        pip(Path(name), f"-e {ROOT}", "--no-deps", "--no-build-isolation")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
