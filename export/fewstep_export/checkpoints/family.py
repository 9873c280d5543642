"""What a family of pipelines tells about one checkpoint: everything but its autoencoder and its scheduler, which have readers of their own."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fewstep.manifest import Guidance, Prompts
from fewstep_export.checkpoints.autoencoders import Autoencoder
from fewstep_export.checkpoints.folder import Folder, quiet
from fewstep_export.components import Component, TokenizerSource

FEW_STEPS = 4
"""The default of students that say nothing of steps."""


@dataclass(frozen=True)
class Source:
    """What a family's reader is given.

    Attributes:
        folder: the pipeline.
        autoencoder: its autoencoder's facts.
        size: side of the picture in pixels that the user asks for; None takes the checkpoint's.
    """

    folder: Folder
    autoencoder: Autoencoder
    size: int | None


@dataclass(frozen=True)
class Call:
    """One picture that the pipeline is asked for: prompt, scale of guidance, side in pixels, steps."""

    prompt: str
    scale: float
    size: int
    steps: int


def prompt_and_scale(call: Call) -> dict[str, object]:
    """What the calls of most pipelines are told besides the steps."""
    return {"prompt": call.prompt, "guidance_scale": call.scale, "height": call.size, "width": call.size}


@dataclass(frozen=True)
class Family:
    """A checkpoint as its family reads it.

    Attributes:
        components: text encoder, if there is one, and denoiser.
        tokenizers: what makes the text encoder's inputs.
        side: of the latents.
        guidance: the defaults of guidance.
        steps: the default number of steps.
        tokens: see `fewstep.manifest.Sampling`.
        even_levels: see `fewstep.manifest.Sampling`.
        prompts: words and examples that suit it.
        latent_factor: the sampler's latents are so many times those that the autoencoder normalises.
        arguments: what the pipeline's call is told.
    """

    components: tuple[Component, ...]
    tokenizers: tuple[TokenizerSource, ...]
    side: int
    guidance: Guidance
    steps: int
    tokens: int | None = None
    even_levels: bool = False
    prompts: Prompts = field(default_factory=Prompts)
    latent_factor: float = 1.0
    arguments: Callable[[Call], dict[str, object]] = prompt_and_scale


@dataclass(frozen=True)
class Defaults:
    """What a pipeline's call does if it is not told otherwise, read from its signature."""

    pipeline: str

    @property
    def steps(self) -> int:
        """`num_inference_steps`."""
        return int(self._value("num_inference_steps"))

    @property
    def guidance(self) -> float:
        """`guidance_scale`."""
        return float(self._value("guidance_scale"))

    def text(self, parameter: str) -> str:
        """A text, or the lines of a list of texts."""
        value = self._value(parameter)
        return value if isinstance(value, str) else "\n".join(value)

    def integer(self, parameter: str) -> int:
        """A number."""
        return int(self._value(parameter))

    def _value(self, parameter: str) -> Any:
        with quiet():
            pipeline = getattr(importlib.import_module("diffusers"), self.pipeline)
        return inspect.signature(pipeline.__call__).parameters[parameter].default
