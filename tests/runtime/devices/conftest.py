"""A real ssh server on the loopback interface, in a mount namespace of its own where that is needed, that plays a board."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

import pytest

from fewstep.devices.address import Address
from fewstep.devices.ssh import Remote

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@dataclass
class Board:
    """A running server.

    Attributes:
        remote: how to reach it.
        home: the home folder of its user.
        process: of the server.
    """

    remote: Remote
    home: Path
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Its address."""
        return str(self.remote.address)

    def cut(self) -> None:
        """Breaks every connection; the server stays."""
        for pid in _children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends the server and every connection."""
        self.cut()
        self.process.kill()
        self.process.wait()

    def leftovers(self) -> list[Path]:
        """What lies in the home folder."""
        return sorted(self.home.rglob("*"))


Boards = Callable[..., Board]


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Boards]:
    """Makes boards: `boards(path="/usr/bin", before="shell line that runs in the server's namespace")`."""
    assert SSHD, "sshd is missing; run tools/install.sh"
    started: list[Board] = []

    def start(path: str | None = None, before: str = "") -> Board:
        started.append(_start(tmp_path / f"board-{len(started)}", path, before))
        return started[-1]

    yield start
    for board in started:
        board.stop()


def _start(folder: Path, path: str | None, before: str) -> Board:
    home = folder / "home"
    home.mkdir(parents=True)
    port = _free_port()
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    # PYTHONPATH stands for what a board has installed: pip then needs no network.
    there = (
        f"HOME={home} PATH={path or _path(folder)} PYTHONPATH={sysconfig.get_path('purelib')} PIP_NO_INDEX=1"
    )
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile {folder}/pid\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\n"
        f"SetEnv {there}\n"
    )
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\n"
        "GlobalKnownHostsFile /dev/null\n"
    )
    Path("/run/sshd").mkdir(parents=True, exist_ok=True)
    command = [str(SSHD), "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
    if before:
        command = ["unshare", "-m", "sh", "-c", f'{before.format(home=home)} && exec "$@"', "sh", *command]
    process = subprocess.Popen(command)
    _wait(port, folder / "log")
    return Board(Remote(Address("127.0.0.1", getuser(), port), folder / "ssh_config"), home, process)


def _path(folder: Path) -> str:
    """A PATH whose python3 is the one of the tests, in whatever environment these run."""
    (folder / "bin").mkdir()
    for name in ("python3", "python3.11"):
        (folder / "bin" / name).symlink_to(Path(sys.executable).resolve())
    return f"{folder}/bin:/usr/bin:/bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, log: Path) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd did not start: {log.read_text() if log.exists() else 'no log'}")


def _children(pid: int) -> list[int]:
    """The servers of the connections: the children of the one that listens, and theirs that are sshd too."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            name = (entry / "comm").read_text().strip()
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and int(fields[1]) == pid and name.startswith("sshd"):
            found += [int(entry.name), *_children(int(entry.name))]
    return found
