"""SDXL pipelines: two CLIP encoders, pooled text and the size of the picture as conditions. Also SDXL-Turbo, SSD-1B, Segmind-Vega, LCM."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from fewstep_export.checkpoints.clip import clip_tokenizer, load_clip
from fewstep_export.checkpoints.family import Defaults, Family, Source
from fewstep_export.checkpoints.stable_diffusion import (
    GuidanceEmbedding,
    check_unet,
    guidance_embedding,
    unet_defaults,
    unet_side,
)
from fewstep_export.components import Component


class TwoClips(nn.Module):
    """input_ids, input_ids_2 (B, L) -> text_states (B, L, D_1 + D_2) before the last layers, pooled (B, P) of the second encoder."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, input_ids: Tensor, input_ids_2: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(input_ids, output_hidden_states=True)
        second = self.second(input_ids_2, output_hidden_states=True)
        return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second[0]


class SizedUNet(nn.Module):
    """The network output (B, C, h, w) of latents, timestep, text_states, pooled (B, P) and maybe the scale of guidance (B,).

    The original size, the crop and the target size of the picture, which SDXL is told as well, are constants.
    """

    def __init__(self, unet: nn.Module, size: int, guidance: GuidanceEmbedding | None) -> None:
        super().__init__()
        self.unet, self.guidance = unet, guidance
        sizes = torch.tensor([[size, size, 0, 0, size, size]], dtype=torch.float32)
        self.register_buffer("sizes", sizes, persistent=False)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text_states: Tensor,
        pooled: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        scale = None if self.guidance is None else self.guidance(guidance)
        added = {"text_embeds": pooled, "time_ids": self.get_buffer("sizes").expand(latents.shape[0], -1)}
        output: Tensor = self.unet(
            latents, timestep, text_states, timestep_cond=scale, added_cond_kwargs=added, return_dict=False
        )[0]
        return output


def read(source: Source) -> Family:
    """An SDXL pipeline.

    Raises:
        FewstepError: a part is missing or damaged, or the U-Net wants more than latents, timestep, text and sizes.
    """
    folder, side = source.folder, unet_side(source)
    check_unet(source, addition="text_time")
    clips = [load_clip(folder, part) for part in ("text_encoder", "text_encoder_2")]
    encoder = Component(
        "text_encoder", TwoClips(*clips).eval(), ("input_ids", "input_ids_2"), ("text_states", "pooled")
    )
    embedding, size = guidance_embedding(source), side * source.autoencoder.factor
    inputs = ("latents", "timestep", "text_states", "pooled", *(() if embedding is None else ("guidance",)))
    unet = SizedUNet(folder.module("unet"), size, embedding).eval()
    guidance, steps = unet_defaults(source, Defaults("StableDiffusionXLPipeline"))
    if folder.index.get("force_zeros_for_empty_prompt", True):
        guidance = replace(guidance, negative_prompt=None)
    return Family(
        (encoder, Component("denoiser", unet, inputs, ("prediction",))),
        (clip_tokenizer(folder, 0), clip_tokenizer(folder, 1)),
        side,
        guidance,
        steps,
    )
