"""The builds of a bundle: graphs with their signatures, and how far they are from their torch originals."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fewstep.errors import BundleError

Dim = int | str
DType = Literal["float32", "float16", "int32", "int64", "int8", "uint8", "bool"]

COMPONENTS = ("text_encoder", "denoiser", "decoder")
"""The networks of a text-to-image model; one whose prompts are class names has no text encoder."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or an output of a graph; a shape holds integers, or a name for a free dimension ("batch")."""

    name: str
    dtype: DType
    shape: tuple[Dim, ...]


@dataclass(frozen=True)
class Component:
    """One graph of a variant: its file in the bundle and its signature."""

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
class Variant:
    """One build of all the components, for one engine at one precision."""

    name: str
    engine: str
    precision: str
    format: str
    components: Mapping[str, Component]
    verification: Mapping[str, Verification] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = self.components.keys()
        if not {"denoiser", "decoder"} <= found <= set(COMPONENTS):
            raise BundleError(
                f"expected the components {', '.join(COMPONENTS)}, found {', '.join(found) or 'none'}"
            )
        check_decoder(self.components["decoder"])

    def check_conditions(self, tokens: Collection[str]) -> None:
        """Whether every input of every graph can be fed, given the tensors that the tokenizers make.

        Raises:
            BundleError: an input comes from nowhere.
        """
        conditions = set(tokens)
        if (encoder := self.components.get("text_encoder")) is not None:
            _subset(encoder.input_names, conditions, "inputs", "text_encoder")
            conditions |= encoder.output_names
        denoiser = self.components["denoiser"]
        _superset(denoiser.input_names, {"latents", "timestep"}, "inputs", "denoiser")
        _subset(denoiser.input_names, conditions | {"latents", "timestep", "guidance"}, "inputs", "denoiser")
        if len(denoiser.outputs) != 1:
            raise BundleError(
                f"expected one output, found {', '.join(sorted(denoiser.output_names)) or 'none'}, in 'denoiser'"
            )


def check_decoder(decoder: Component) -> None:
    """Refuses a decoder that is not latents -> image.

    Raises:
        BundleError: another input or output.
    """
    for side, found, expected in (
        ("inputs", decoder.input_names, {"latents"}),
        ("outputs", decoder.output_names, {"image"}),
    ):
        if found != expected:
            raise BundleError(
                f"expected the {side} {', '.join(expected)}, found {', '.join(sorted(found)) or 'none'}, in 'decoder'"
            )


def _subset(found: frozenset[str], allowed: set[str], side: str, where: str) -> None:
    if extra := sorted(found - allowed):
        raise BundleError(
            f"expected the {side} {', '.join(sorted(allowed))} or some of them, found '{extra[0]}', in '{where}'"
        )


def _superset(found: frozenset[str], needed: set[str], side: str, where: str) -> None:
    if missing := sorted(needed - found):
        raise BundleError(
            f"expected the {side} {', '.join(sorted(needed))}, found no '{missing[0]}', in '{where}'"
        )
