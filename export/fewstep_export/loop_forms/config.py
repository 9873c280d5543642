"""Which forms of the loop an export is asked for; nothing heavy is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class LoopForms:
    """Further variants of a bundle, beside those whose loop runs on the host.

    Attributes:
        hoist: what depends on the prompt alone is a graph of its own; it holds for the fused step too.
        fuse_step: one row of the step table is a graph.
        unroll: so many steps, guidance and the decoder are one graph.
    """

    hoist: bool = False
    fuse_step: bool = False
    unroll: int | None = None

    def __post_init__(self) -> None:
        if self.unroll is not None and self.unroll < 1:
            raise FewstepError(f"expected at least 1 step, found {self.unroll}; choose a larger --unroll")

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != LoopForms()

    @property
    def names(self) -> list[str]:
        """What the names of the variants end in."""
        fused = "hoisted-fused" if self.hoist else "fused"
        asked = ((self.hoist, "hoisted"), (self.fuse_step, fused), (self.unroll is not None, "unrolled"))
        return [name for wanted, name in asked if wanted]

    def options(self) -> Mapping[str, object]:
        """The options as JSON."""
        return {"hoist": self.hoist, "fuse_step": self.fuse_step, "unroll": self.unroll}

    def flags(self) -> list[str]:
        """The part of the command line that asks for them."""
        flags = ["--hoist"] * self.hoist + ["--fuse-step"] * self.fuse_step
        return flags if self.unroll is None else [*flags, f"--unroll {self.unroll}"]


@dataclass(frozen=True)
class LoopConfig:
    """Forms of the loop that a bundle gets of one of its variants.

    Attributes:
        bundle: its folder.
        forms: what to build.
        variant: of .onnx graphs, of any precision; None takes the default one.
        force: writes a form of a quantised build that is no faster than what that build was measured against, and marks it.
        threads: threads inside one operator while measuring.
        rounds: timed rounds.
    """

    bundle: Path
    forms: LoopForms
    variant: str | None = None
    force: bool = False
    threads: int | None = None
    rounds: int = 7

    def __post_init__(self) -> None:
        if not self.forms:
            raise FewstepError(
                "expected --hoist, --fuse-step or --unroll STEPS, found none of them; ask for one"
            )
        if self.rounds < 1:
            raise FewstepError(f"expected at least 1 round, found {self.rounds}; choose a larger number")
