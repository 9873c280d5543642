"""Makes hashes.txt: the SHA-256 of every file that the package index lists for the versions of constraints.txt.

    make hashes

Needs uv, which asks the index that its own configuration names; nothing is downloaded but lists. All files of a version are
taken, for every system and Python, so that the list serves them all. tools/environment.py installs nothing else.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINS = (ROOT / "constraints.txt", ROOT / "tests" / "references.txt")
TARGET = ROOT / "hashes.txt"
HEAD = "# Made by `make hashes` from constraints.txt and tests/references.txt: the SHA-256 of every file of those versions.\n"

# Wheels that the index does not list: PyTorch publishes those without CUDA by itself. These are torch-2.13.0+cpu for CPython 3.11,
# manylinux_2_28, x86_64 and aarch64; the first is of the file that the tests ran with, both stand in other projects' lock files.
ELSEWHERE = {
    "torch==2.13.0": (
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
        "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",
    )
}


def listed() -> str:
    """What the index lists, as a requirements file."""
    options = (
        "--universal --python-version 3.11 --no-deps --generate-hashes --no-header --no-annotate --quiet"
    )
    command = [sys.executable, "-m", "uv", "pip", "compile", *options.split(), *map(str, PINS)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def with_elsewhere(text: str) -> str:
    """The same, with the wheels that the index does not list.

    Raises:
        ValueError: one of them is of a version that is not pinned any more.
    """
    for pin, digests in ELSEWHERE.items():
        lines = "".join(f"    --hash=sha256:{digest} \\\n" for digest in digests)
        text, found = re.subn(rf"(?m)^({re.escape(pin)} \\\n)", rf"\g<1>{lines}", text)
        if not found:
            raise ValueError(
                f"expected {pin} in constraints.txt, found another version; mend ELSEWHERE in {__file__}"
            )
    return text


if __name__ == "__main__":
    TARGET.write_text(HEAD + with_elsewhere(listed()), encoding="utf-8")
