"""What a benchmark ran on, in words that name no person and no machine."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fewstep.devices.jetson import power_settings

_CPUINFO = Path("/proc/cpuinfo")
_MODEL = Path("/proc/device-tree/model")
_PACKAGES = ("fewstep", "numpy", "onnxruntime", "tokenizers", "pillow")


@dataclass(frozen=True)
class Device:
    """Processor, its cores (physical and as the system counts them), system, versions, and how busy it was.

    `busy` is the mean number of running processes in the minute before (the load average), None where unknown;
    `date` is in UTC. `board` is what a single-board computer tells: its model, power mode, clocks, throttling.
    """

    processor: str
    cores: int
    logical_cores: int
    system: str
    machine: str
    python: str
    packages: Mapping[str, str]
    busy: float | None
    date: str
    board: Mapping[str, str] = field(default_factory=dict)


def this_device() -> Device:
    """The device that this process runs on, now."""
    return Device(
        processor=_processor(),
        cores=physical_cores(),
        logical_cores=_usable_cores(),
        system=f"{platform.system()} {_number(platform.release())}",
        machine=platform.machine(),
        python=platform.python_version(),
        packages={name: _version(name) for name in _PACKAGES},
        busy=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        board={**_board_model(), **power_settings(), **_throttling()},
    )


def physical_cores() -> int:
    """The physical cores that this process may use: two threads of one core count once, where that can be seen."""
    usable = _usable_cores()
    if not _CPUINFO.exists():
        return usable
    # x86 says which threads share a core; other architectures say nothing, and have one thread a core.
    pairs = re.findall(r"physical id\s*: (\d+).*?core id\s*: (\d+)", _CPUINFO.read_text(), re.DOTALL)
    return min(usable, len(set(pairs)) or usable)


def _usable_cores() -> int:
    """The logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _board_model() -> dict[str, str]:
    """The model that the firmware of a board states."""
    if not _MODEL.exists():
        return {}
    return {"model": _MODEL.read_text(errors="replace").strip("\0\n ")}


def _throttling() -> dict[str, str]:
    """Whether a Raspberry Pi was slowed down since it was started: bits of vcgencmd, 0x0 for never."""
    try:
        done = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, check=False)
    except OSError:
        return {}
    found = re.search(r"throttled=(\S+)", done.stdout)
    return {"throttled": found.group(1)} if found else {}


def _processor() -> str:
    """The model name of the processor."""
    if _CPUINFO.exists():
        found = re.search(r"^(?:model name|Model|Hardware)\s*: (.+)$", _CPUINFO.read_text(), re.MULTILINE)
        name = found.group(1) if found else ""
    elif platform.system() == "Darwin":
        sysctl = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(sysctl, capture_output=True, text=True, check=False).stdout.strip()
    else:
        name = platform.processor()
    return name or platform.machine() or "unknown"


def _number(release: str) -> str:
    """The release without what follows its number: whoever builds a kernel may put a machine's name there."""
    found = re.match(r"[\d.]*\d", release)
    return found.group() if found else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
