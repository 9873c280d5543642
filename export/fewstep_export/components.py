"""A text-to-image model in torch: networks with named inputs and outputs, the shape that every target exports from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from fewstep.manifest import Guidance, Image, Latent, Licence, Prompts, Sampling, TokenizerFile
from fewstep.network import Feeds, Network, Run
from fewstep.text_to_image import TextToImage
from fewstep.tokenizer import Tokenizer

Array = npt.NDArray[Any]
Reference = Callable[[Sequence[str], Sampling, float], Array]
"""(prompts, sampling, scale) -> pictures (B, C, H, W) of the checkpoint's own program, picture k from the noise of seed k."""
__all__ = [
    "Array",
    "Component",
    "Exportable",
    "Feeds",
    "Generator",
    "GraphComponent",
    "Reference",
    "TokenizerSource",
]


@dataclass(frozen=True)
class Component:
    """A network to export: its name, its module, and the names of its inputs and outputs in the order of `forward`."""

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The outputs of the torch module on numpy arrays."""
        with torch.inference_mode():
            result = self.module(*(torch.from_numpy(feeds[name]) for name in self.inputs))
        outputs: tuple[Tensor, ...] = (result,) if isinstance(result, Tensor) else result
        return {name: output.numpy() for name, output in zip(self.outputs, outputs, strict=True)}


@dataclass(frozen=True)
class GraphComponent:
    """A network that is a graph already, whose numbers are taken for right."""

    name: str
    model: onnx.ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        """The outputs of the graph on numpy arrays."""
        from fewstep_export.session import runner  # which knows components

        return runner(self.model)(feeds)


class Exportable(Protocol):
    """What an export begins with: a torch module (`Component`), or a graph (`GraphComponent`)."""

    @property
    def name(self) -> str:
        """Which network of the model it is, like "denoiser"."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs in order."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs in order."""
        ...

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        """The outputs of the original by name."""
        ...


@dataclass(frozen=True)
class TokenizerSource:
    """A tokenizer as the content of its file, and how the bundle describes it."""

    record: TokenizerFile
    content: str


@dataclass(frozen=True)
class Generator:
    """A model with everything that its bundle tells about it.

    Attributes:
        name: of the bundle.
        components: `text_encoder` (not for class names), `denoiser` and `decoder`, in the order of generation.
        tokenizers: what makes the text encoder's inputs.
        sampling: the default sampler; tables for others come from it.
        guidance, latent, image, prompts, licences: see `fewstep.manifest`.
        checkpoint_sha256: of the weights of every component and of the tokenizers.
        reference: draws with the program that the checkpoint was made for.
    """

    name: str
    components: tuple[Exportable, ...]
    tokenizers: tuple[TokenizerSource, ...]
    sampling: Sampling
    guidance: Guidance
    latent: Latent
    image: Image
    prompts: Prompts
    licences: tuple[Licence, ...]
    checkpoint_sha256: str
    reference: Reference | None = None

    def component(self, name: str) -> Exportable:
        """The component of that name.

        Raises:
            KeyError: there is none.
        """
        return {component.name: component for component in self.components}[name]

    def text_to_image(self, runs: Mapping[str, Run] | None = None) -> TextToImage:
        """The model as the runtime has it, around the given networks; None takes the torch modules."""
        networks = {
            component.name: Network(
                frozenset(component.inputs), component.run if runs is None else runs[component.name]
            )
            for component in self.components
        }
        tokenizers = [Tokenizer(source.content, source.record) for source in self.tokenizers]
        return TextToImage(networks, tokenizers, self.guidance, self.latent)
