"""Which optimisation profile of an engine a run takes, by the size of its latents."""

from dataclasses import dataclass
from typing import Any

from fewstep.engines.tensorrt_buffers import Extent
from fewstep.errors import FewstepError
from fewstep.sizes import between

Sides = tuple[int, int]
"""(height, width) of latents."""


@dataclass(frozen=True)
class Profile:
    """The smallest, best and largest sides of one profile."""

    smallest: Sides
    best: Sides
    largest: Sides

    def holds(self, sides: Sides) -> bool:
        """Whether the sides lie in it."""
        return between(self.smallest, sides, self.largest)


class Profiles:
    """The profiles of an engine, as it tells them.

    Args:
        engine: of the library.
        tensor: the input (B, C, h, w) whose sides are free; None for an engine of one size.
    """

    def __init__(self, engine: Any, tensor: str | None) -> None:
        count = engine.num_optimization_profiles if tensor else 0
        self._all = tuple(_profile(engine.get_tensor_profile_shape(tensor, i)) for i in range(count))

    def largest(self, batch: int) -> Extent:
        """What holds every run of these batches."""
        heights, widths = (
            zip(*(profile.largest for profile in self._all), strict=True) if self._all else ((1,), (1,))
        )
        return Extent(batch, max(heights), max(widths))

    def choose(self, extent: Extent, where: str) -> int:
        """The index of the profile that is best at these sides, or else of the first that takes them.

        Raises:
            FewstepError: none does; `where` says whose profiles these are.
        """
        fitting = [i for i, profile in enumerate(self._all) if profile.holds(extent.sides)]
        if self._all and not fitting:
            ranges = " or ".join(f"{p.smallest} to {p.largest}" for p in self._all)
            raise FewstepError(
                f"expected latents of height and width {ranges}, found {extent.sides}, for {where}; export with a --profile for them"
            )
        return next((i for i in fitting if self._all[i].best == extent.sides), fitting[0] if fitting else 0)


def _profile(shapes: Any) -> Profile:
    smallest, best, largest = ((int(shape[2]), int(shape[3])) for shape in shapes)
    return Profile(smallest, best, largest)
