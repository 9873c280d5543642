"""The largest memory that this process has had resident."""

import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident set in bytes, or None where it cannot be read; `method` says in words how it was read."""

    bytes: int | None
    method: str


def peak_memory() -> PeakMemory:
    """The peak of this process since it began."""
    if _STATUS.exists():
        # Not ru_maxrss: a child inherits the parent's value there, because exec does not reset it.
        kibibytes = int(_STATUS.read_text().split("VmHWM:")[1].split()[0])
        return PeakMemory(1024 * kibibytes, "VmHWM of /proc/self/status")
    try:
        import resource
    except ImportError:
        return PeakMemory(None, "not measured on this platform")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, the others kibibytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return PeakMemory(unit * peak, "ru_maxrss of getrusage, which may include what the parent had")
