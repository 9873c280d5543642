"""What a browser reports of its benchmark, as frozen dataclasses; times are in milliseconds.

`apps/web/src/bench.ts` writes it, and a native app may write the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class Build:
    """What was run, with what the probe of WebGPU said, and how long loading took."""

    bundle: str
    variant: str
    backend: str
    threads: int
    probe: str
    steps: int
    load_ms: float

    @property
    def engine(self) -> str:
        """Where the graphs ran, like "wasm, 4 threads"."""
        if self.backend == "webgpu":
            return self.backend
        return f"{self.backend}, {self.threads} thread{'' if self.threads == 1 else 's'}"


@dataclass(frozen=True)
class Run:
    """One drawing: all of it, and every call into a graph by component."""

    ms: float
    calls: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class BrowserReport:
    """A benchmark in a browser.

    Args:
        format, version: of this record.
        device: the number that the computer gave it.
        state: a report is sent again and again while it grows.
        error: what failed, in words.
        date: of the beginning.
        browser: what it tells about itself.
        build: what was run; None while it loads.
        first: the first picture, before any warm-up.
        runs: the timed ones.
        sustained: drawings one after the other: (seconds since their beginning, milliseconds).
        battery: charge before and after, 0 to 1, where the browser tells it.
        memory_bytes: of its JavaScript heap, where the browser tells it.
    """

    format: Literal["fewstep-web-bench"]
    version: Literal[1]
    device: str
    state: Literal["loading", "running", "done", "failed"]
    error: str | None
    date: str
    browser: Mapping[str, object]
    build: Build | None
    first: Run | None
    runs: tuple[Run, ...]
    sustained: tuple[tuple[float, float], ...]
    battery: tuple[float, float] | None
    memory_bytes: int | None

    def __post_init__(self) -> None:
        if self.state == "done" and (self.build is None or not self.runs):
            raise FewstepError("expected a build and runs in a report that is done, found none")

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed")

    @property
    def median_ms(self) -> float | None:
        """Of the timed runs."""
        return median(run.ms for run in self.runs) if self.runs else None

    @property
    def throttling(self) -> float | None:
        """The median of the last quarter of the sustained drawings over that of the first; None with fewer than 8."""
        times = [ms for _, ms in self.sustained]
        quarter = len(times) // 4
        return median(times[-quarter:]) / median(times[:quarter]) if quarter >= 2 else None


def by_component(runs: Sequence[Run]) -> dict[str, float]:
    """The median of all calls into each graph."""
    names = dict.fromkeys(name for run in runs for name in run.calls)
    return {name: median(ms for run in runs for ms in run.calls.get(name, ())) for name in names}
