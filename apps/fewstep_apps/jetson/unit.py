"""The systemd unit that serves the page after every start of the board."""

import sys
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import FewstepError

_UNIT = """\
[Unit]
Description=fewstep page of {name}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
User={user}
ExecStart={command}
Restart=on-failure
RestartSec=5
Environment=GRADIO_ANALYTICS_ENABLED=False HF_HUB_OFFLINE=1
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={cache}
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Served:
    """What the page is served of, and where: a bundle, the folder of engines, an address, and maybe the graphs that are built from."""

    bundle: Path
    cache: Path
    host: str
    port: int
    variant: str | None = None

    def command(self) -> list[str]:
        """The words of the command that serves it."""
        words = [str(Path(sys.executable).parent / "fewstep-jetson"), "serve", str(self.bundle.resolve())]
        words += ["--host", self.host, "--port", str(self.port), "--cache", str(self.cache)]
        return words + (["--variant", self.variant] if self.variant else [])


def systemd_unit(served: Served, user: str) -> str:
    """The text of fewstep.service; `sudo tee /etc/systemd/system/fewstep.service` puts it in place.

    Raises:
        FewstepError: a path, a name or the user holds what would end a line or a word of the unit.
    """
    words = served.command()
    for word in (*words, user):
        if not word.isprintable() or set(word) & set(" \"'\\%$;"):
            raise FewstepError(
                f"expected a path without spaces, quotes and the signs % $ ; \\, found {word!r}; move the bundle"
            )
    return _UNIT.format(name=served.bundle.name, user=user, command=" ".join(words), cache=served.cache)
