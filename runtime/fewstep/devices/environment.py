"""Python on a board: the interpreter that is there, and a virtual environment with the thin runtime."""

from fewstep.devices.ssh import Remote
from fewstep.devices.transfer import far_failure
from fewstep.devices.workspace import Workspace
from fewstep.errors import FewstepError

_FIND = """
for p in python3.14 python3.13 python3.12 python3.11 python3; do
    command -v $p >/dev/null 2>&1 && $p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && command -v $p && exit 0
done
python3 --version 2>/dev/null || echo none
exit 1
"""


def find_python(remote: Remote) -> str:
    """The path of a Python of at least 3.11 on the board.

    Raises:
        FewstepError: the board cannot be reached, or has none.
    """
    done = remote.run(["sh", "-c", _FIND])
    found = done.stdout.strip()
    if done.returncode:
        raise FewstepError(
            f"expected Python 3.11 or newer, found {found or 'none'}, on {remote.address}; install it on the board "
            "(`sudo apt install python3.11 python3.11-venv` or newer)"
        )
    return found


def install(remote: Remote, workspace: Workspace, python: str, wheel: str) -> str:
    """Makes a virtual environment in the workspace, installs the wheel with what it needs, and returns its interpreter.

    What the system's Python has (TensorRT on a Jetson) is seen from it, and is not installed a second time.

    Raises:
        FewstepError: the board lacks the module venv, the disk is full, or a package cannot be had.
    """
    folder = f"{workspace.folder}/venv"
    done = remote.run(
        workspace.command([python, "-m", "venv", "--system-site-packages", folder]), timeout=600.0
    )
    if done.returncode:
        if "ensurepip" in done.stdout + done.stderr:
            raise FewstepError(
                f"expected Python's module venv with pip, found none, on {remote.address}; install it on the board "
                "(`sudo apt install python3-venv`)"
            )
        raise far_failure(remote.address, done.stderr or done.stdout)
    pip = [
        f"{folder}/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    done = remote.run(workspace.command([*pip, f"{workspace.folder}/{wheel}"]), timeout=None)
    if done.returncode:
        raise far_failure(remote.address, done.stderr)
    return f"{folder}/bin/python"
