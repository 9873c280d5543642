"""What a benchmark is asked for."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from fewstep.errors import FewstepError

ALL_ENGINES = "all"


@dataclass(frozen=True)
class BenchConfig:
    """A benchmark of some variants of a bundle.

    Args:
        bundle: its folder.
        variants: names of variants; none means all of the bundle.
        threads: threads inside one operator; None takes one for each physical core.
        runs: timed rounds; every variant is called once a round.
        warmup: rounds before them that are not counted.
        steps, sampler, guidance: as for `fewstep generate`; None takes the bundle's default.
        seed: run k draws with the noise of seed + k.
        compare: whether to divide the times of `variants`, of which the first is the reference.
        engine: what runs the graphs: a name, "all" for every one that this machine has, None for the variants' own; "tensorrt" builds
            engines of the graphs where they are measured.
        timeout: seconds after which loading a variant and drawing one picture is given up.
        require_quiet: whether figures of a machine that was not quiet are refused, and not only marked.

    Raises:
        FewstepError: a number is out of range, or a variant is given twice.
    """

    bundle: Path
    variants: tuple[str, ...] = ()
    threads: int | None = None
    runs: int = 10
    warmup: int = 2
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None
    seed: int = 0
    timeout: float = 600.0
    compare: bool = False
    engine: str | None = None
    require_quiet: bool = False

    def __post_init__(self) -> None:
        for what, found, least in (
            ("run", self.runs, 1),
            ("warm-up run", self.warmup, 0),
            ("thread", self.threads, 1),
            ("step", self.steps, 1),
        ):
            if found is not None and found < least:
                raise FewstepError(f"expected at least {least} {what}, found {found}; choose a larger number")
        if self.guidance is not None and not isfinite(self.guidance):
            raise FewstepError(
                f"expected a finite guidance scale, found {self.guidance}; a usual one is 1 to 8"
            )
        if not (self.timeout > 0 and isfinite(self.timeout)):
            raise FewstepError(f"expected a time-out above 0 s, found {self.timeout}; give some seconds")
        if self.engine not in (None, ALL_ENGINES, "onnxruntime", "openvino", "tensorrt"):
            raise FewstepError(
                f"expected the engine onnxruntime, openvino, tensorrt or {ALL_ENGINES}, found '{self.engine}'; choose one"
            )
        if len(set(self.variants)) != len(self.variants):
            raise FewstepError(
                f"expected different variants, found {', '.join(self.variants)}; give each of them once"
            )

    def options(self) -> list[str]:
        """The options that ask for this benchmark."""
        chosen = {
            "--threads": self.threads,
            "--runs": self.runs,
            "--warmup": self.warmup,
            "--steps": self.steps,
            "--sampler": self.sampler,
            "--guidance": self.guidance,
            "--seed": self.seed,
            "--engine": self.engine,
        }
        words = [word for name in self.variants for word in ("--variant", name)]
        if self.compare:
            words = ["--compare-precisions", ",".join(self.variants)]
        return words + [
            word for name, value in chosen.items() if value is not None for word in (name, str(value))
        ]

    def command(self) -> str:
        """The command line that asks for this benchmark; of the bundle's path only the name is told."""
        return " ".join(["fewstep bench", self.bundle.resolve().name, *self.options()])
