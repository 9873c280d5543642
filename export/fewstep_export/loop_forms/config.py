"""Which forms of the loop an export is asked for; nothing heavy is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass

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

    def options(self) -> Mapping[str, object]:
        """The options as JSON."""
        return {"hoist": self.hoist, "fuse_step": self.fuse_step, "unroll": self.unroll}

    def flags(self) -> list[str]:
        """The part of the command line that asks for them."""
        flags = ["--hoist"] * self.hoist + ["--fuse-step"] * self.fuse_step
        return flags if self.unroll is None else [*flags, f"--unroll {self.unroll}"]
