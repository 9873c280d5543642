"""Commands on a board through the system's ssh, which knows the user's keys, agents and jump hosts; never with a password.

Host keys are verified strictly: an unknown or changed one ends the work before anything is sent.
"""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fewstep.devices.address import Address
from fewstep.errors import FewstepError

_SSH_FAILED = 255  # ssh's own errors; every other code is that of the command
_OPTIONS = {
    "BatchMode": "yes",  # never ask: there may be nobody to answer
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "10",  # a board that is silent for 30 s is lost
    "ServerAliveCountMax": "3",
}


class ConnectionLostError(FewstepError):
    """The connection broke after it had been there; trying again may help."""


@dataclass(frozen=True)
class Remote:
    """A board that is reached by ssh.

    Args:
        address: where it is.
        configuration: for ssh's -F; None takes the user's own.
    """

    address: Address
    configuration: Path | None = None

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line here that runs these words there."""
        options = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
        chosen = ["-F", str(self.configuration)] if self.configuration else []
        port = ["-p", str(self.address.port)] if self.address.port else []
        user = ["-l", self.address.user] if self.address.user else []
        # The far shell reads one line; each word is quoted for it.
        return ["ssh", "-T", *chosen, *options, *port, *user, "--", self.address.host, shlex.join(words)]

    def start(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        """The words as a process with pipes for all three streams.

        Raises:
            FewstepError: this machine has no ssh.
        """
        try:
            return subprocess.Popen(
                self.command(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise FewstepError("expected ssh on this machine, found none; install OpenSSH's client") from None

    def run(self, words: Sequence[str], timeout: float | None = 60.0) -> "subprocess.CompletedProcess[str]":
        """The finished command, whatever its code.

        Raises:
            FewstepError: the board cannot be reached, is not the one that is known, or refuses the key; it took too long.
            ConnectionLostError: the connection broke.
        """
        with self.start(words) as process:
            try:
                out, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise FewstepError(
                    f"expected '{words[0]}' to end within {timeout:g} s, found it running, on {self.address}; is the board busy?"
                ) from None
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(
            list(words), process.returncode, out.decode(errors="replace"), errors.decode(errors="replace")
        )
        if done.returncode == _SSH_FAILED:
            raise refusal(self.address, done.stderr)
        return done


def refusal(address: Address, errors: str) -> FewstepError:
    """What ssh's messages mean, as an error of ours."""
    said = " ".join(line for line in errors.splitlines() if line.strip("@ \t\r")).strip()
    for sign, expected, advice in _MEANINGS:
        if sign in errors:
            return FewstepError(f"expected {expected}, found none, at {address}; {advice} ({_short(said)})")
    return ConnectionLostError(
        f"expected the connection to last, found it lost, to {address}; run the command again ({_short(said)})"
    )


_MEANINGS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key that known_hosts has",
        "this may be another machine: if the board was set up anew, remove the old key with `ssh-keygen -R HOST`",
    ),
    (
        "Host key verification failed",
        "a host key that known_hosts has",
        "log in once with ssh and compare the fingerprint with the board's",
    ),
    ("Permission denied", "a key that the board accepts", "copy yours with ssh-copy-id"),
    ("Could not resolve hostname", "a host of that name", "check the address"),
    ("Connection refused", "an ssh server", "start it on the board and check the port"),
    (
        "Connection timed out",
        "an answer",
        "check that the board is on and in this network",
    ),
    ("No route to host", "a way to the board", "check that the board is on and in this network"),
)


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"...{text[-197:]}"
