"""When an export goes component by component; nothing heavy is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class Large:
    """Options of exports that do not fit into memory at once.

    Attributes:
        threshold: a diffusers folder with a component of more than so many GB (1e9 bytes) of float32 weights is exported one component
            at a time; 0 takes every folder so.
        force: begin even if the forecast exceeds this machine's memory.
    """

    threshold: float = 1.0
    force: bool = False

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise FewstepError(
                f"expected a size of 0 GB or more, found {self.threshold}; correct --large-from"
            )

    def options(self) -> Mapping[str, object]:
        """The options on which the bundle depends, as JSON."""
        return {"large_from": self.threshold}

    def flags(self) -> list[str]:
        """The part of the command line that asks for them."""
        return [] if self.threshold == Large().threshold else [f"--large-from {self.threshold:g}"]
