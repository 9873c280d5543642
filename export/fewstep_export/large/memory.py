"""How much memory an export will take, said before it starts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from fewstep.errors import FewstepError

FLOAT = 4
BASE = 600_000_000
"""Bytes of Python with torch, onnx, diffusers and a module without values (measured: 0.51 to 0.59 GB)."""
GRAPH = 250_000_000
"""Bytes that a traced graph of some thousands of operators takes (measured: 0.2 GB for the 4,700 of Stable Diffusion's U-Net)."""
COPIES = 3
"""Of a weight on its way: as stored, as float32, transposed."""
TORCH_COPIES = 2
"""Of activations in torch, whose convolutions reorder what they read and write (measured: 4.59 GB for Stable Diffusion's U-Net, which has
3.44 GB of weights and 0.27 GB of activations for two pictures)."""

MARGIN = 1.05
"""On everything: a forecast is to be an upper bound, and allocators keep a little more than they are asked for."""


@dataclass(frozen=True)
class MemoryForecast:
    """Peak resident bytes of the stages, each in a process of its own.

    Attributes:
        weights: all weights as float32.
        export: tracing and writing.
        reference: one evaluation by torch, and before it the largest weight as it is stored.
        check: one evaluation by ONNX Runtime, which maps the weights and keeps packed copies of none.
        package: the FP32 package for Core ML, made of mapped weights, and evaluated with every weight read when it is used; 0 where none
            is asked for.
    """

    weights: int
    export: int
    reference: int
    check: int
    package: int = 0

    @classmethod
    def of(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        activations: int,
        graph_activations: int,
        packages: bool = False,
    ) -> "MemoryForecast":
        """The forecast for weights of these shapes and so many bytes of activations alive at once, in torch and in a graph."""
        sizes = [FLOAT * prod(shape) for shape in shapes.values()]
        total, largest = sum(sizes), max(sizes, default=0)
        export = BASE + GRAPH + COPIES * largest
        reference = BASE + total + largest + TORCH_COPIES * activations
        check = BASE + total + graph_activations
        evaluated = 2 * (COPIES * largest + graph_activations)  # in float64
        package = BASE + max(total, evaluated) if packages else 0
        return cls(total, *(int(MARGIN * peak) for peak in (export, reference, check, package)))

    @property
    def peak(self) -> int:
        """Of the whole export."""
        return max(self.export, self.reference, self.check, self.package)

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"weights {_gb(self.weights)}, peak memory about {_gb(self.peak)} "
            f"(export {_gb(self.export)}, torch {_gb(self.reference)}, check {_gb(self.check)}"
            f"{f', Core ML {_gb(self.package)}' if self.package else ''})"
        )


def require_memory(forecasts: Mapping[str, MemoryForecast], available: int, force: bool) -> None:
    """Refuses what this machine cannot hold.

    Args:
        forecasts: by component.
        available: bytes of memory.
        force: refuse nothing.

    Raises:
        FewstepError: a component needs more; the message names the worst.
    """
    name, worst = max(forecasts.items(), key=lambda item: item[1].peak)
    if worst.peak > available and not force:
        raise FewstepError(
            f"expected a peak of at most {_gb(available)}, this machine's memory, found a forecast of {_gb(worst.peak)}, for {name}; "
            "export on a larger machine, or with --force-memory if it can swap"
        )


def machine_bytes() -> int:
    """The memory of this machine, or of the control group in which we are, if that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(limit for path in _LIMITS if (limit := _limit(Path(path))) is not None)])


_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
