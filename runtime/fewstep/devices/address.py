"""Where a board is: ssh://[USER@]HOST[:PORT]."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from fewstep.errors import FewstepError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # nothing that ssh could take for an option
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%]*")


@dataclass(frozen=True)
class Address:
    """A board's user, host and port; None leaves user and port to ssh and its configuration.

    Raises:
        FewstepError: the name of the user or the host could not be one, or the port is none.
    """

    host: str
    user: str | None = None
    port: int | None = None

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host) or (self.user is not None and not _NAME.fullmatch(self.user)):
            raise FewstepError(
                f"expected --device ssh://USER@HOST[:PORT], found the host {self.host!r} and the user {self.user!r}; "
                "correct the address"
            )
        if self.port is not None and not 0 < self.port < 65536:
            raise FewstepError(f"expected a port from 1 to 65535, found {self.port}; correct the address")

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address in a URL.

        Raises:
            FewstepError: it is none, or holds a password.
        """
        try:
            url = urlsplit(text)
            host, port = url.hostname or "", url.port
        except ValueError:
            raise FewstepError(
                f"expected ssh://USER@HOST[:PORT], found '{text}'; correct the address"
            ) from None
        if url.password is not None:
            raise FewstepError(
                "expected an address without a password, which every user of this machine could read from the list of processes; "
                "log in by key (ssh-copy-id) and leave it out"
            )
        if url.scheme != "ssh" or not host or url.path.strip("/") or url.query or url.fragment:
            raise FewstepError(f"expected ssh://USER@HOST[:PORT], found '{text}'; correct the address")
        return cls(host, url.username, port)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}{f':{self.port}' if self.port else ''}"
