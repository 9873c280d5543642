"""The systemd unit that serves the page after every start of the board."""

import sys
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


def systemd_unit(bundle: Path, user: str, cache: Path, host: str, port: int) -> str:
    """The text of fewstep.service; `sudo tee /etc/systemd/system/fewstep.service` puts it in place.

    Raises:
        FewstepError: a path or the user holds what would end a line or a word of the unit.
    """
    words = [str(Path(sys.executable).parent / "fewstep-jetson"), "serve", str(bundle.resolve())]
    words += ["--host", host, "--port", str(port), "--cache", str(cache)]
    for word in (*words, user):
        if not word.isprintable() or set(word) & set(" \"'\\%$;"):
            raise FewstepError(
                f"expected a path without spaces, quotes and the signs % $ ; \\, found {word!r}; move the bundle"
            )
    return _UNIT.format(name=bundle.name, user=user, command=" ".join(words), cache=cache)
