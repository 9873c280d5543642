"""Whether a machine was quiet, cool and as fast as it can be while it was measured; what was not so stands in the report as a mark.

1. Others: the share of the usable cores' time that other processes and other guests of the machine took. /proc/stat counts all, and what
   this process and its children took is known.
2. Spread: the middle half of a latency's samples, relative to their median; and drift, the median of the last half over that of the first.
3. Clocks: the mean frequency relative to the largest, and how often a core was throttled for heat.
4. Power: a battery that is being discharged.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fewstep.bench.device import physical_cores
from fewstep.bench.latency import Latency, quantile

OTHERS, SPREAD, DRIFT, CLOCK = 0.05, 0.10, 1.10, 0.90
"""From which share, spread, drift and relative clock on (below, for the last) there is a mark."""
_LEAST = 5
"""Samples below which spread and drift say nothing."""


@dataclass(frozen=True)
class Load:
    """Counters of the machine: seconds that all cores were busy, that they existed, and that this process took; throttling events."""

    busy: float
    whole: float
    own: float
    throttled: int

    @classmethod
    def now(cls, root: Path = Path("/")) -> "Load":
        """The counters at this moment; zeros where the system tells nothing."""
        times = os.times()
        busy, whole = _cpu_seconds(root / "proc/stat")
        return cls(busy, whole, sum(times[:4]), _throttled(root))


def marks(before: Load, after: Load, threads: int, root: Path = Path("/")) -> tuple[str, ...]:
    """What was wrong with the machine between two moments, one sentence each."""
    return tuple(_machine_marks(before, after, threads, root))


def spread_marks(what: str, latency: Latency) -> Iterator[str]:
    """What is wrong with the samples of one latency."""
    samples = latency.samples
    if len(samples) < _LEAST or not latency.median:
        return
    middle = (quantile(samples, 0.75) - quantile(samples, 0.25)) / latency.median
    if middle > SPREAD:
        yield f"{what}: the middle half of the runs spans {middle:.0%} of the median (quiet: at most {SPREAD:.0%})"
    half = len(samples) // 2
    drift = quantile(samples[-half:], 0.5) / quantile(samples[:half], 0.5)
    if not 1 / DRIFT <= drift <= DRIFT:
        yield f"{what}: the last half of the runs took {drift:.2f} times as long as the first (quiet: up to {DRIFT:.2f})"


def _machine_marks(before: Load, after: Load, threads: int, root: Path) -> Iterator[str]:
    whole = after.whole - before.whole
    if whole > 0:
        others = max(0.0, (after.busy - before.busy) - (after.own - before.own)) / whole
        if others > OTHERS:
            yield f"other processes took {others:.0%} of the machine (quiet: at most {OTHERS:.0%})"
    if threads > physical_cores():
        yield f"{threads} threads were asked for on {physical_cores()} cores"
    if after.throttled > before.throttled:
        yield f"cores were throttled for heat {after.throttled - before.throttled} times"
    if (clock := _clock(root)) is not None and clock < CLOCK:
        yield f"the cores ran at {clock:.0%} of their largest clock"
    if any(_read(path) == "Discharging" for path in root.glob("sys/class/power_supply/*/status")):
        yield "the machine ran on its battery"


def _cpu_seconds(stat: Path) -> tuple[float, float]:
    """Seconds busy and in all, of every core since the start: user, nice, system, idle, iowait, irq, softirq, steal."""
    fields = _read(stat).partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return 0.0, 0.0
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _throttled(root: Path) -> int:
    counts = root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    return sum(int(_read(path) or 0) for path in counts)


def _clock(root: Path) -> float | None:
    """The mean of the cores' frequencies relative to their largest; None where the system does not tell."""
    ratios: Sequence[float] = [
        int(now) / int(largest)
        for folder in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq")
        if (now := _read(folder / "scaling_cur_freq")) and (largest := _read(folder / "cpuinfo_max_freq"))
    ]
    return fmean(ratios) if ratios else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
