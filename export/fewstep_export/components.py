"""The three networks of a checkpoint as modules with named inputs, the shape that every target exports from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fewstep.manifest import INTERFACES
from fewstep_models import zoo
from fewstep_models.autoencoder import Autoencoder
from fewstep_models.checkpoint import Checkpoint, CheckpointConfig, digest
from fewstep_models.minilm import MiniLM, tokenizer_file

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


class PictureDecoder(nn.Module):
    """latents (B, C, h, w), un-normalised -> image (B, 4, H, W) in [0, 1]."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder = autoencoder.decoder

    def forward(self, latents: Tensor) -> Tensor:
        image: Tensor = self.decoder(latents)
        return image.clamp(0.0, 1.0)


@dataclass(frozen=True)
class Component:
    """A network to export: its name, its module, and the names of its inputs in the order of `forward`."""

    name: str
    module: nn.Module
    inputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """The name of the one output."""
        (output,) = INTERFACES[self.name][1]
        return output

    def run(self, feeds: Feeds) -> npt.NDArray[np.float32]:
        """The output of the torch module on numpy arrays."""
        with torch.inference_mode():
            output: Tensor = self.module(*(torch.from_numpy(feeds[name]) for name in self.inputs))
        return output.numpy()


@dataclass(frozen=True)
class Generator:
    """A text-to-image model in torch with everything that its bundle tells about it.

    ``checkpoint_sha256`` covers the weights of every component and the tokenizer.
    """

    config: CheckpointConfig
    text_encoder: Component
    denoiser: Component
    decoder: Component
    tokenizer: Path
    checkpoint_sha256: str

    @property
    def components(self) -> tuple[Component, ...]:
        """The networks in the order of generation."""
        return self.text_encoder, self.denoiser, self.decoder


def load_generator(source: str) -> Generator:
    """The model of a zoo name or of a checkpoint folder, with the published text encoder.

    Raises:
        FewstepError: there is no such model, or a file is missing or damaged.
    """
    folder = zoo.resolve(source)
    return build_generator(
        Checkpoint.load(folder), digest(folder), MiniLM.from_pretrained(), tokenizer_file()
    )


def build_generator(
    checkpoint: Checkpoint, checkpoint_sha256: str, text_encoder: nn.Module, tokenizer: Path
) -> Generator:
    """A generator from its parts."""
    total = hashlib.sha256(checkpoint_sha256.encode() + tokenizer.read_bytes())
    for name, value in sorted(text_encoder.state_dict().items()):
        total.update(name.encode() + b"\0" + value.numpy().tobytes())
    return Generator(
        checkpoint.config,
        Component("text_encoder", text_encoder, ("input_ids", "text_mask")),
        Component("denoiser", checkpoint.denoiser, ("latents", "timestep", "text_states", "text_mask")),
        Component("decoder", PictureDecoder(checkpoint.autoencoder).eval(), ("latents",)),
        tokenizer,
        total.hexdigest(),
    )
