"""The builds of a bundle: graphs with their signatures, and how far they are from their torch originals."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from fewstep.errors import BundleError
from fewstep.gate import Gate
from fewstep.limits import RANK, TENSOR_ELEMENTS
from fewstep.loop_form import NETWORKS, Loop
from fewstep.sizes import Sizes

Dim = int | str
DType = Literal["float32", "float16", "int32", "int64", "int8", "uint8", "bool"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or an output of a graph; a shape holds integers, or a name for a free dimension ("batch")."""

    name: str
    dtype: DType
    shape: tuple[Dim, ...]

    def __post_init__(self) -> None:
        sizes = [dim for dim in self.shape if isinstance(dim, int)]
        if len(self.shape) > RANK or min(sizes, default=1) < 1 or prod(sizes) > TENSOR_ELEMENTS:
            raise BundleError(
                f"expected at most {RANK} sizes of at least 1 with a product of at most {TENSOR_ELEMENTS}, found "
                f"{list(self.shape)}, for tensor '{self.name}'"
            )


@dataclass(frozen=True)
class Component:
    """One graph of a variant: its file in the bundle, or its folder if the format is one, and its signature."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def input_names(self) -> frozenset[str]:
        """The names of the inputs."""
        return frozenset(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> frozenset[str]:
        """The names of the outputs."""
        return frozenset(spec.name for spec in self.outputs)


@dataclass(frozen=True)
class Verification:
    """How far an exported graph is from its torch original on fixed inputs; all in the units of the output.

    For whole pictures `psnr` is that of the worst one in dB, and `tolerance` bounds the root mean square error, not the largest.
    """

    max_abs_error: float
    output_scale: float
    tolerance: float
    psnr: float | None = None

    def __post_init__(self) -> None:
        if self.output_scale <= 0 or self.max_abs_error < 0:
            raise BundleError(
                f"expected an output scale above 0 and an error of at least 0, found {self.output_scale} "
                f"and {self.max_abs_error}"
            )


@dataclass(frozen=True)
class EngineBuild:
    """How an engine of TensorRT was made from an ONNX graph.

    Args:
        library: "tensorrt" or "tensorrt_rtx".
        version: of it; without "version-compatible" no other loads the engine.
        compute_capabilities: of the GPUs that were asked for; none means the library's own choice.
        max_batch: the largest batch.
        flags: "version-compatible", "weights-stripped".
        source_sha256: of the graph.
        seconds: that the build took.
    """

    library: str
    version: str
    compute_capabilities: tuple[str, ...]
    max_batch: int
    flags: tuple[str, ...]
    source_sha256: str
    seconds: float


@dataclass(frozen=True)
class Variant:
    """One build of all the components, for one engine at one precision, with as much of the loop in its graphs as `loop` says.

    `gates` says what a build of lower precision is worth, by the variant that it was measured against, and `engines` by component how
    engines were made. `sizes` are those of its pictures, for graphs that take others than the manifest's.
    """

    name: str
    engine: str
    precision: str
    format: str
    components: Mapping[str, Component]
    verification: Mapping[str, Verification] = field(default_factory=dict)
    loop: Loop = field(default_factory=Loop)
    gates: Mapping[str, Gate] = field(default_factory=dict)
    engines: Mapping[str, EngineBuild] = field(default_factory=dict)
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        self.loop.check_components(self.components)
        if self.format == "engine" and self.engines.keys() != self.components.keys():
            raise BundleError(
                f"expected how each of {', '.join(self.components)} was made, found {', '.join(self.engines) or 'none'}, "
                "in field 'engines'"
            )

    @property
    def network(self) -> Component:
        """The graph that holds the denoiser, with as much of the loop as is inside a graph."""
        return self.components[NETWORKS[self.loop.form]]

    @property
    def form(self) -> str:
        """The form of the loop in words, like "fused, hoisted"."""
        return f"{self.loop.form}, hoisted" if "prompt" in self.components else self.loop.form

    def check_conditions(self, tokens: Collection[str]) -> None:
        """Whether every input of every graph can be fed, given the tensors that the tokenizers make.

        Raises:
            BundleError: an input comes from nowhere.
        """
        self.loop.check_feeds(self.components, tokens)
