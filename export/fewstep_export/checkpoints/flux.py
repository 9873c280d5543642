"""FLUX.1: schnell, a student of few steps without guidance, and dev, which is told the scale of guidance."""

import torch
from torch import Tensor, nn

from fewstep.manifest import Guidance, TokenizerFile
from fewstep_export.checkpoints.clip import clip_tokenizer, load_clip
from fewstep_export.checkpoints.family import FEW_STEPS, Call, Defaults, Family, Source, prompt_and_scale
from fewstep_export.checkpoints.t5 import load_t5
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import Component

SIDE = 128
"""Of the latents of a picture of the default size; no configuration has it."""
SCHNELL_LENGTH = 256
"""Tokens of T5 for which schnell was distilled; the pipeline's default is that of dev."""


class ClipAndT5(nn.Module):
    """input_ids (B, L) for CLIP, input_ids_2 (B, M) for T5 -> text_states (B, M, D) of T5, pooled (B, P) of CLIP."""

    def __init__(self, clip: nn.Module, t5: nn.Module) -> None:
        super().__init__()
        self.clip, self.t5 = clip, t5

    def forward(self, input_ids: Tensor, input_ids_2: Tensor) -> tuple[Tensor, Tensor]:
        return self.t5(input_ids_2)[0], self.clip(input_ids).pooler_output


class Flux(nn.Module):
    """The velocity (B, C, h, w) of latents, timestep, text_states, pooled and maybe the scale of guidance (B,).

    Inside, 2 x 2 latents are one token of 4 C numbers. The places of all tokens are constants.
    """

    def __init__(self, transformer: nn.Module, side: int, text_length: int) -> None:
        super().__init__()
        self.transformer, self._half = transformer, side // 2
        rows, columns = torch.meshgrid(torch.arange(self._half), torch.arange(self._half), indexing="ij")
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("text_places", torch.zeros(text_length, 3), persistent=False)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text_states: Tensor,
        pooled: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        output: Tensor = self.transformer(
            self._pack(latents),
            encoder_hidden_states=text_states,
            pooled_projections=pooled,
            timestep=timestep / 1000,
            img_ids=self.get_buffer("places"),
            txt_ids=self.get_buffer("text_places"),
            guidance=guidance,
            return_dict=False,
        )[0]
        return self._unpack(output)

    def _pack(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, h/2 w/2, 4 C), C before the place in the patch."""
        half, channels = self._half, latents.shape[1]
        patches = latents.reshape(-1, channels, half, 2, half, 2).permute(0, 2, 4, 1, 3, 5)
        return patches.reshape(-1, half * half, 4 * channels)

    def _unpack(self, tokens: Tensor) -> Tensor:
        half, channels = self._half, tokens.shape[-1] // 4
        patches = tokens.reshape(-1, half, half, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return patches.reshape(-1, channels, 2 * half, 2 * half)


def read(source: Source) -> Family:
    """A FLUX pipeline; one that is not told the scale of guidance (`guidance_embeds`) is a student of few steps, like schnell.

    Raises:
        FewstepError: a part is missing or damaged.
    """
    folder = source.folder
    told = bool(folder.config("transformer").get("guidance_embeds"))
    defaults, side = Defaults("FluxPipeline"), source.autoencoder.side(source.size, SIDE, 2)
    length = defaults.integer("max_sequence_length") if told else SCHNELL_LENGTH
    encoder = ClipAndT5(load_clip(folder, "text_encoder"), load_t5(folder, "text_encoder_2")).eval()
    denoiser = Flux(folder.module("transformer"), side, length).eval()
    inputs = ("latents", "timestep", "text_states", "pooled", *(("guidance",) if told else ()))
    return Family(
        (
            Component("text_encoder", encoder, ("input_ids", "input_ids_2"), ("text_states", "pooled")),
            Component("denoiser", denoiser, inputs, ("prediction",)),
        ),
        (
            clip_tokenizer(folder, 0),
            read_tokenizer(folder, "tokenizer_2", TokenizerFile(file_name(1), length)),
        ),
        side,
        Guidance(defaults.guidance if told else 1.0),
        defaults.steps if told else FEW_STEPS,
        tokens=(side // 2) ** 2,
        even_levels=True,
        arguments=lambda call: _arguments(call, told, length),
    )


def _arguments(call: Call, told: bool, length: int) -> dict[str, object]:
    """The pipeline's `guidance_scale` is what the network is told; guidance by two branches has another name."""
    scale = {} if told or call.scale == 1.0 else {"true_cfg_scale": call.scale, "negative_prompt": ""}
    return {**prompt_and_scale(call), **scale, "max_sequence_length": length}
