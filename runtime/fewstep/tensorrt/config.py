"""How an engine is built."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep.sizes import SizeProfile


@dataclass(frozen=True)
class BuildConfig:
    """Options of a build.

    Args:
        max_batch: the largest batch; 2 are needed for guidance in one call, and are what kernels are chosen for.
        compute_capabilities: of the GPUs that the engine is for, like "8.6"; none means the library's own choice, which is the GPU
            here if there is one.
        version_compatible: whether later releases of the library may load the engine too.
        strip_weights: whether the weights are left out, to be taken from the ONNX file when the engine is loaded.
        workspace: bytes of scratch memory at most; None leaves it to the library.
        graphs_only: whether a bundle gets the graphs that engines are built from instead, for a board that builds its own.
        profiles: sizes of pictures, each an optimisation profile; none means the one size that the graphs were exported for.
        timing_cache: a file of `tensorrt` that keeps what kernels were measured to take, from build to build; it changes no engine.

    Raises:
        FewstepError: a number is out of range, or a capability is no such number.
    """

    max_batch: int = 2
    compute_capabilities: tuple[str, ...] = ()
    version_compatible: bool = False
    strip_weights: bool = False
    workspace: int | None = None
    graphs_only: bool = False
    timing_cache: Path | None = None
    profiles: tuple[SizeProfile, ...] = ()

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise FewstepError(f"expected a batch of at least 1, found {self.max_batch}; raise --max-batch")
        if self.workspace is not None and self.workspace < 1:
            raise FewstepError(
                f"expected a workspace above 0 bytes, found {self.workspace}; raise --workspace"
            )
        for capability in self.compute_capabilities:
            if not re.fullmatch(r"\d+\.\d", capability):
                raise FewstepError(
                    f"expected a compute capability like 8.7, found '{capability}'; correct --compute-capability"
                )

    def flags(self) -> tuple[str, ...]:
        """What is asked for beyond the usual, in words."""
        asked = {"version-compatible": self.version_compatible, "weights-stripped": self.strip_weights}
        return tuple(name for name, value in asked.items() if value)

    def options(self) -> Mapping[str, object]:
        """The options that change what is built, as JSON."""
        return {
            "max_batch": self.max_batch,
            "compute_capabilities": list(self.compute_capabilities),
            "engine_flags": list(self.flags()),
            "workspace": self.workspace,
            "graphs_only": self.graphs_only,
            **({"profiles": [str(profile) for profile in self.profiles]} if self.profiles else {}),
        }

    def words(self) -> list[str]:
        """The words of a command line that ask for it."""
        words = [f"--max-batch {self.max_batch}"] if self.max_batch != 2 else []
        words += [f"--compute-capability {capability}" for capability in self.compute_capabilities]
        words += [f"--profile {profile}" for profile in self.profiles]
        words += ["--version-compatible"] if self.version_compatible else []
        words += ["--strip-weights"] if self.strip_weights else []
        words += ["--graphs-only"] if self.graphs_only else []
        return words + ([f"--workspace {self.workspace}"] if self.workspace else [])
