"""The result of a benchmark as frozen dataclasses; times are in seconds, sizes in bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from fewstep.bench.cold import ColdStart
from fewstep.bench.device import Device
from fewstep.bench.latency import Latency
from fewstep.records import from_json, to_json

FORMAT: Final = "fewstep-bench"
VERSION: Final = 1


@dataclass(frozen=True)
class Settings:
    """What was run: `threads` inside one operator, timed and warm-up rounds, and the picture's own settings."""

    threads: int
    runs: int
    warmup: int
    step_table: str
    guidance: float
    seed: int


@dataclass(frozen=True)
class ComponentReport:
    """One graph at one batch size, timed inside the engine."""

    component: str
    batch: int
    latency: Latency


@dataclass(frozen=True)
class VariantReport:
    """One variant of the bundle.

    `sizes` are bytes on disk by component. `generation` is the time from prompt to picture; its first call is the first
    picture of a fresh process. `shares` says where that time went, by component and "host", and sums to 1. `loop` is the form of the
    loop, like "host" or "fused, hoisted".
    """

    name: str
    engine: str
    precision: str
    sizes: Mapping[str, int]
    components: tuple[ComponentReport, ...]
    generation: Latency
    shares: Mapping[str, float]
    cold: ColdStart
    loop: str = "host"

    @property
    def size(self) -> int:
        """Bytes on disk of all graphs."""
        return sum(self.sizes.values())

    @property
    def latencies(self) -> tuple[tuple[str, Latency], ...]:
        """What was timed, in words, with its latency: the whole first, then every graph."""
        graphs = ((f"{c.component}, batch {c.batch}", c.latency) for c in self.components)
        return (("prompt to picture", self.generation), *graphs)

    @property
    def host_share(self) -> float:
        """The part of a generation outside the graphs, 0 to 1."""
        return self.shares["host"]


@dataclass(frozen=True)
class Report:
    """A whole benchmark: what was asked for, of which bundle, on which device, and a row for each variant.

    `fastest` is the variant (with "@" and the engine, where that is not its own) with the least median time, prompt to picture, and
    `skipped` says of what could not be measured why. `speedup` is by "B_over_A" the median time of variant A over that of B, prompt to picture, where precisions were compared.
    `marks` says what was wrong with the machine meanwhile (`fewstep.bench.quiet`): figures with a mark are not for comparing.
    """

    format: Literal["fewstep-bench"]
    version: Literal[1]
    command: str
    bundle: str
    bundle_bytes: int
    device: Device
    settings: Settings
    variants: tuple[VariantReport, ...]
    speedup: Mapping[str, float] = field(default_factory=dict)
    fastest: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, value: object, where: str = "report") -> "Report":
        """The report in a JSON value.

        Raises:
            BundleError: a field is missing, unknown or of another type; the message names it.
        """
        return from_json(cls, value, where)

    def to_dict(self) -> Mapping[str, object]:
        """The JSON value of the report; from_dict gives the same report back."""
        value: Mapping[str, object] = to_json(self)
        return value
