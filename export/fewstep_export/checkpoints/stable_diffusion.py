"""U-Net pipelines with one CLIP encoder: Stable Diffusion 1.x and 2.x, SD-Turbo, small U-Nets (BK-SDM, Segmind), LCM."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.manifest import Guidance
from fewstep_export.checkpoints.clip import ClipStates, clip_tokenizer, load_clip
from fewstep_export.checkpoints.family import FEW_STEPS, Defaults, Family, Source
from fewstep_export.components import Component


class GuidanceEmbedding(nn.Module):
    """sin | cos of 1000 (w - 1) f for a scale w (B,), which diffusers tells minus one; f = 10000^(-i / (n - 1)), i < n.

    Of U-Nets that are distilled from guidance (Meng et al., "On distillation of guided diffusion models", 2023).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise FewstepError(
                f"expected an even time_cond_proj_dim, found {width}; use the pipeline's own runtime"
            )
        half = width // 2
        frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000.0) / (half - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, guidance: Tensor) -> Tensor:
        angles = 1000.0 * (guidance - 1.0)[:, None] * self.get_buffer("frequencies")[None]
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class UNet(nn.Module):
    """The network output (B, C, h, w) of latents (B, C, h, w), timestep (B,), text_states (B, L, D) and maybe the scale (B,)."""

    def __init__(self, unet: nn.Module, guidance: GuidanceEmbedding | None) -> None:
        super().__init__()
        self.unet, self.guidance = unet, guidance

    def forward(
        self, latents: Tensor, timestep: Tensor, text_states: Tensor, guidance: Tensor | None = None
    ) -> Tensor:
        scale = None if self.guidance is None else self.guidance(guidance)
        output: Tensor = self.unet(latents, timestep, text_states, timestep_cond=scale, return_dict=False)[0]
        return output


def read(source: Source) -> Family:
    """A Stable Diffusion pipeline.

    Raises:
        FewstepError: a part is missing or damaged, or the U-Net wants more than latents, timestep and text.
    """
    folder = source.folder
    check_unet(source)
    encoder = Component(
        "text_encoder", ClipStates(load_clip(folder, "text_encoder")).eval(), ("input_ids",), ("text_states",)
    )
    embedding = guidance_embedding(source)
    inputs = ("latents", "timestep", "text_states", *(() if embedding is None else ("guidance",)))
    denoiser = Component("denoiser", UNet(folder.module("unet"), embedding).eval(), inputs, ("prediction",))
    defaults = Defaults("StableDiffusionPipeline" if embedding is None else "LatentConsistencyModelPipeline")
    guidance, steps = unet_defaults(source, defaults)
    return Family((encoder, denoiser), (clip_tokenizer(folder, 0),), unet_side(source), guidance, steps)


def guidance_embedding(source: Source) -> GuidanceEmbedding | None:
    """The embedding of the scale, for a U-Net that is told it (`time_cond_proj_dim`)."""
    width = source.folder.config("unet").get("time_cond_proj_dim")
    return None if width is None else GuidanceEmbedding(int(width))


def check_unet(source: Source, addition: str | None = None) -> None:
    """Refuses U-Nets that want inputs which a prompt does not give.

    Raises:
        FewstepError: an inpainting U-Net, or one with classes, images or boxes as conditions.
    """
    config, channels = source.folder.config("unet"), source.autoencoder.channels
    where = source.folder.path / "unet"
    if int(config["in_channels"]) != channels:
        raise FewstepError(
            f"expected a U-Net for {channels} latent channels, found in_channels {config['in_channels']}, in {where}; "
            "inpainting and editing U-Nets want a picture, use a text-to-image one"
        )
    for field, wanted in (
        ("addition_embed_type", addition),
        ("class_embed_type", None),
        ("encoder_hid_dim_type", None),
        ("num_class_embeds", None),
    ):
        if config.get(field) != wanted:
            raise FewstepError(
                f"expected {field} {wanted or 'null'}, found {config[field]}, in {where}; use a plain text-to-image U-Net"
            )


def unet_side(source: Source) -> int:
    """The side of the latents: a multiple of what the U-Net's levels halve."""
    config: Any = source.folder.config("unet")
    sample = config["sample_size"]
    default = int(sample if isinstance(sample, int) else sample[0])
    return source.autoencoder.side(source.size, default, 2 ** (len(config["block_out_channels"]) - 1))


def unet_defaults(source: Source, defaults: Defaults) -> tuple[Guidance, int]:
    """Default guidance and steps of a U-Net pipeline, recognised from its configuration.

    1. A U-Net that is told the scale (`time_cond_proj_dim`) is distilled from guidance: the pipeline's own defaults.
    2. A scheduler of consistency models (LCM, TCD), or Euler with trailing timesteps on a schedule that does not end at zero
       signal, belongs to a student that was distilled without guidance (LCM-LoRA, SD-Turbo, SDXL-Turbo, Lightning): scale 1, few
       steps.
    3. Everything else is guided as the pipeline does it.
    """
    scheduler = source.folder.config("scheduler")
    name = str(scheduler.get("_class_name"))
    consistency = name in ("LCMScheduler", "TCDScheduler")
    trailing = scheduler.get("timestep_spacing") == "trailing" and not scheduler.get("rescale_betas_zero_snr")
    if source.folder.config("unet").get("time_cond_proj_dim") is None and (
        consistency or (trailing and name.startswith("Euler"))
    ):
        return Guidance(1.0), FEW_STEPS
    return Guidance(defaults.guidance), defaults.steps
