"""The sizes of pictures that the graphs of a variant draw, where these are not of one size alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fewstep.errors import FewstepError
from fewstep.limits import IMAGE_SIDE

Size = tuple[int, int]
"""(width, height) of a picture in pixels."""
_SIZE = re.compile(r"(\d{1,6})(?:x(\d{1,6}))?")


@dataclass(frozen=True)
class SizeProfile:
    """A range of sizes, which an engine of TensorRT has as an optimisation profile: the smallest, the one it is best at, the largest.

    Raises:
        FewstepError: a side shrinks from one to the next, or is none.
    """

    smallest: Size
    best: Size
    largest: Size

    def __post_init__(self) -> None:
        sides = list(zip(self.smallest, self.best, self.largest, strict=True))
        if any(list(side) != sorted(side) or not 0 < side[0] <= side[2] <= IMAGE_SIDE for side in sides):
            raise FewstepError(
                f"expected a smallest, a best and a largest size that do not shrink, of 1 to {IMAGE_SIDE} pixels, found {self}; "
                "correct --profile"
            )

    @classmethod
    def parse(cls, text: str) -> "SizeProfile":
        """The profile of SIZE, or of SMALLEST:BEST:LARGEST; a size is WIDTHxHEIGHT, or the side of a square.

        Raises:
            FewstepError: it is none.
        """
        sizes = text.split(":")
        if len(sizes) not in (1, 3):
            raise FewstepError(
                f"expected --profile SMALLEST:BEST:LARGEST, like 256:512:768 or 512x384:768x512:1024x768, or one size, found '{text}'"
            )
        smallest, best, largest = map(parse_size, sizes if len(sizes) == 3 else sizes * 3)
        return cls(smallest, best, largest)

    def holds(self, size: Size) -> bool:
        """Whether the size lies in it."""
        return between(self.smallest, size, self.largest)

    def sizes(self) -> Iterator[Size]:
        """Smallest, best, largest."""
        yield from (self.smallest, self.best, self.largest)

    def __str__(self) -> str:
        return ":".join(map(size_text, self.sizes()))


@dataclass(frozen=True)
class Sizes:
    """What sizes a variant draws.

    Args:
        multiple: of pixels that both sides must be, because the networks halve and double them.
        profiles: a size must lie in one of them.
    """

    multiple: int
    profiles: tuple[SizeProfile, ...]

    def __post_init__(self) -> None:
        if self.multiple < 1 or not self.profiles:
            raise FewstepError(
                f"expected a multiple of at least 1 and one profile or more, found {self.multiple} and {len(self.profiles)}"
            )

    def require(self, size: Size, where: str) -> None:
        """Whether the size can be drawn; `where` says whose sizes these are.

        Raises:
            FewstepError: it cannot.
        """
        if any(side % self.multiple for side in size) or not any(p.holds(size) for p in self.profiles):
            raise FewstepError(
                f"expected a size in {' or '.join(map(str, self.profiles))} whose sides are multiples of {self.multiple}, "
                f"found {size_text(size)}, for {where}; choose another size"
            )


def between(smallest: tuple[int, int], sides: tuple[int, int], largest: tuple[int, int]) -> bool:
    """Whether no side is smaller or larger than those."""
    return all(low <= side <= high for low, side, high in zip(smallest, sides, largest, strict=True))


def side_length(dim: str, sides: Mapping[str, int]) -> int | None:
    """The length of a free dimension that is called like a side, "height", or is so many of it, "8*height"; None for another."""
    factor, _, name = dim.rpartition("*")
    return int(factor or 1) * sides[name] if name in sides and (factor or "1").isdigit() else None


def parse_size(text: str) -> Size:
    """The size of WIDTHxHEIGHT, or of a square's side.

    Raises:
        FewstepError: it is none.
    """
    found = _SIZE.fullmatch(text)
    if found is None or not int(found[1]) or found[2] == "0":
        raise FewstepError(f"expected a size like 512 or 768x512 in pixels, found '{text}'; correct it")
    return int(found[1]), int(found[2] or found[1])


def size_text(size: Size) -> str:
    """WIDTHxHEIGHT."""
    return f"{size[0]}x{size[1]}"
