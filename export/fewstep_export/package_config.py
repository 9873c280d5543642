"""How a Core ML package is made; nothing heavy is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from fewstep.errors import FewstepError

MinimumTarget = Literal["iOS17", "iOS18"]


@dataclass(frozen=True)
class ConvertConfig:
    """How a package is made.

    Attributes:
        target: the oldest system that may load it.
        batch: rows of every input; shapes of a package are fixed.
        half_io: whether inputs of two or more axes and all outputs are float16, which spares a device the conversion; a timestep has
            one axis and stays float32, since FP16 is off by up to 0.25 there. FP32 packages are float32 throughout.
        neural_engine: whether tokens are kept as maps and heads apart (see `coreml/neural_engine.py`).
    """

    target: MinimumTarget = "iOS17"
    batch: int = 1
    half_io: bool = False
    neural_engine: bool = False

    def __post_init__(self) -> None:
        if self.target not in get_args(MinimumTarget):
            raise FewstepError(f"expected iOS17 or iOS18, found {self.target}, in --min-target; choose one")
        if self.batch < 1:
            raise FewstepError(f"expected a batch of at least 1, found {self.batch}; choose a larger one")

    def options(self) -> Mapping[str, object]:
        """The options on which a bundle depends, as JSON."""
        return {"min_target": self.target, "half_io": self.half_io, "neural_engine": self.neural_engine}

    def flags(self) -> list[str]:
        """The part of the command line that asks for them."""
        asked = {"--half-io": self.half_io, "--neural-engine": self.neural_engine}
        return [f"--min-target {self.target}", *(flag for flag, on in asked.items() if on)]
