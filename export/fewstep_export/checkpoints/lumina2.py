"""Lumina-Image 2.0: text and picture in one sequence with rotary positions."""

from typing import Any

import torch
from torch import Tensor, nn

from fewstep.manifest import Guidance, Template, TokenizerFile
from fewstep_export.checkpoints.family import Defaults, Family, Source
from fewstep_export.checkpoints.language_model import load_language_model
from fewstep_export.checkpoints.rotary import Rotary, table, use_real_rotary
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import Component

SIDE = 128
"""Of the latents of a picture of the default size; the pipeline has it, no configuration does."""
SYSTEM_PROMPT = (
    "You are an assistant designed to generate superior images with the superior degree of image-text alignment based on "
    "textual prompts or user prompts."
)
"""Of diffusers' Lumina2Pipeline; negative prompts go without."""


class Lumina2(nn.Module):
    """The velocity (B, C, h, w) of latents, timestep, text_states and text_mask.

    The original puts the picture right behind the last token of its text. Here it stands behind the padding, which is masked out, and
    only its position follows the length of the text: the same attention, with fixed shapes.
    """

    def __init__(self, transformer: Any, side: int, length: int) -> None:
        super().__init__()
        use_real_rotary(transformer)
        self.transformer, self._patch = transformer, int(transformer.config.patch_size)
        self._half = side // self._patch
        depth, down, right = (table(angles) for angles in transformer.rope_embedder.freqs_cis)
        zero = torch.cat([down[:, :1], right[:, :1]], dim=-1)
        text = torch.cat([depth[:, :length], zero.expand(-1, length, -1)], dim=-1)
        rows, columns = torch.meshgrid(torch.arange(self._half), torch.arange(self._half), indexing="ij")
        place = torch.cat([down[:, rows.flatten()], right[:, columns.flatten()]], dim=-1)
        for name, buffer in (("depth", depth), ("text", text), ("place", place)):
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        model, mask = self.transformer, text_mask > 0
        time, text = model.time_caption_embed(latents, 1 - timestep / 1000, text_states)
        image = model.x_embedder(self._patches(latents))
        text_rotary, image_rotary = self._rotary(text_mask.sum(dim=1).long())
        for block in model.context_refiner:
            text = block(text, mask, text_rotary)
        for block in model.noise_refiner:
            image = block(image, None, image_rotary, time)
        joint = torch.cat([text, image], dim=1)
        joint_mask = torch.cat([mask, torch.ones_like(image[..., 0], dtype=torch.bool)], dim=1)
        rotary = tuple(torch.cat(parts, dim=1) for parts in zip(text_rotary, image_rotary, strict=True))
        for block in model.layers:
            joint = block(joint, joint_mask, rotary, time)
        return -self._picture(model.norm_out(joint[:, text.shape[1] :], time))

    def _rotary(self, lengths: Tensor) -> tuple[Rotary, Rotary]:
        """Positions of text, (i, 0, 0), and of the picture, (length of the text, row, column)."""
        batch = lengths.shape[0]
        text, place = self.get_buffer("text"), self.get_buffer("place")
        depth = self.get_buffer("depth")[:, lengths, None].expand(-1, -1, place.shape[1], -1)
        image = torch.cat([depth, place[:, None].expand(-1, batch, -1, -1)], dim=-1)
        text = text[:, None].expand(-1, batch, -1, -1)
        return (text[0], text[1]), (image[0], image[1])

    def _patches(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, N, p p C)."""
        p, half, channels = self._patch, self._half, latents.shape[1]
        patches = latents.reshape(-1, channels, half, p, half, p).permute(0, 2, 4, 3, 5, 1)
        return patches.reshape(-1, half * half, p * p * channels)

    def _picture(self, tokens: Tensor) -> Tensor:
        p, half = self._patch, self._half
        patches = tokens.reshape(-1, half, half, p, p, tokens.shape[-1] // (p * p)).permute(0, 5, 1, 3, 2, 4)
        return patches.reshape(-1, tokens.shape[-1] // (p * p), half * p, half * p)


def read(source: Source) -> Family:
    """A Lumina2 pipeline.

    Raises:
        FewstepError: a part is missing or damaged.
    """
    folder, config = source.folder, source.folder.config("transformer")
    defaults = Defaults("Lumina2Pipeline")
    length = defaults.integer("max_sequence_length")
    patch = int(config["patch_size"])
    side = source.autoencoder.side(source.size, SIDE, patch, patch * min(config["axes_lens"][1:]))
    template = Template(before=f"{SYSTEM_PROMPT} <Prompt Start> ")
    inputs = ("latents", "timestep", "text_states", "text_mask")
    denoiser = Lumina2(folder.module("transformer"), side, length).eval()
    encoder = load_language_model(folder, "text_encoder")
    return Family(
        (
            Component("text_encoder", encoder, ("input_ids", "text_mask"), ("text_states",)),
            Component("denoiser", denoiser, inputs, ("prediction",)),
        ),
        (read_tokenizer(folder, "tokenizer", TokenizerFile(file_name(0), length, prompt=template)),),
        side,
        Guidance(defaults.guidance, keep_norm=True),
        defaults.steps,
        tokens=source.autoencoder.channels,  # what diffusers takes for the length of the sequence
        even_levels=True,
    )
