"""Kinds of devices that other rooms measure on, for `fewstep bench --device NAME`.

A room's pyproject entry in the group `fewstep.devices` names a function (BenchConfig, JSON file or "-", HTML file) -> None.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from fewstep.bench.config import BenchConfig
from fewstep.errors import FewstepError

GROUP = "fewstep.devices"
Measure = Callable[[BenchConfig, str | None, Path | None], None]


def elsewhere(device: str | None) -> Measure | None:
    """What measures on a device of that name; None for this machine and for boards, ssh://...

    Raises:
        FewstepError: what measures there is not installed whole.
    """
    for entry in entry_points(group=GROUP, name=device) if device and "://" not in device else ():
        try:
            measure: Measure = entry.load()
        except ImportError as error:
            raise FewstepError(
                f"expected the package {error.name} for --device {device}, found none; install fewstep[apps]"
            ) from None
        return measure
    return None
