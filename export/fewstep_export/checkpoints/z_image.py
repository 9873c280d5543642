"""Z-Image: a single stream of picture and text (Qwen3) with rotary positions."""

from typing import Any

import torch
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.manifest import Guidance, Template, TokenizerFile
from fewstep_export.checkpoints.family import Call, Defaults, Family, Source, prompt_and_scale
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.language_model import load_language_model
from fewstep_export.checkpoints.rotary import Rotary, table, use_real_rotary
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import Component

SIZE = 1024
"""The pipeline's default in pixels; no configuration has it."""
PATCH = 2
MULTIPLE = 32
"""Picture and text are filled up to a multiple of so many tokens, by tokens of their own that are looked at."""


class ZImage(nn.Module):
    """The velocity (B, C, h, w) of latents, timestep, text_states and text_mask.

    Text of any length stands in a fixed number of tokens; those behind its own filling are masked out.
    """

    def __init__(self, transformer: Any, side: int, length: int) -> None:
        super().__init__()
        use_real_rotary(transformer)
        self.transformer, self._half = transformer, side // PATCH
        self._filling = -(self._half**2) % MULTIPLE
        rope = transformer.rope_embedder
        depth, down, right = (
            table(angles) for angles in rope.precompute_freqs_cis(rope.axes_dims, rope.axes_lens, rope.theta)
        )
        zero = torch.cat([down[:, :1], right[:, :1]], dim=-1)
        text = torch.cat([depth[:, 1 : length + 1], zero.expand(-1, length, -1)], dim=-1)
        rows, columns = torch.meshgrid(torch.arange(self._half), torch.arange(self._half), indexing="ij")
        place = torch.cat([down[:, rows.flatten()], right[:, columns.flatten()]], dim=-1)
        filling = torch.cat([depth[:, :1], zero], dim=-1).expand(-1, self._filling, -1)
        buffers = {"depth": depth, "text": text, "place": place, "filling": filling.contiguous()}
        for name, buffer in (*buffers.items(), ("positions", torch.arange(length))):
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        model, batch = self.transformer, latents.shape[0]
        time = model.t_embedder((1000 - timestep) / 1000 * model.t_scale)
        lengths = text_mask.sum(dim=1).long()
        filled = (lengths + MULTIPLE - 1) // MULTIPLE * MULTIPLE
        image_rotary, text_rotary = self._rotary(filled)
        image = model.all_x_embedder[f"{PATCH}-1"](self._patches(latents))
        image = torch.cat([image, model.x_pad_token[None].expand(batch, self._filling, -1)], dim=1)
        for block in model.noise_refiner:
            image = block(image, None, image_rotary, time)
        positions = self.get_buffer("positions")[None]
        text, mask = model.cap_embedder(text_states), positions < filled[:, None]
        text = torch.where((positions < lengths[:, None])[..., None], text, model.cap_pad_token)
        for block in model.context_refiner:
            text = block(text, mask, text_rotary)
        joint = torch.cat([image, text], dim=1)
        joint_mask = torch.cat([torch.ones_like(image[..., 0], dtype=torch.bool), mask], dim=1)
        rotary = tuple(torch.cat(parts, dim=1) for parts in zip(image_rotary, text_rotary, strict=True))
        for block in model.layers:
            joint = block(joint, joint_mask, rotary, time)
        output = model.all_final_layer[f"{PATCH}-1"](joint[:, : self._half**2], c=time)
        return -self._picture(output)

    def _rotary(self, filled: Tensor) -> tuple[Rotary, Rotary]:
        """Positions of the picture, (filled text + 1, row, column), with (0, 0, 0) for its filling, and of the text, (i + 1, 0, 0)."""
        batch = filled.shape[0]
        place, filling, text = (
            self.get_buffer(name)[:, None].expand(-1, batch, -1, -1) for name in ("place", "filling", "text")
        )
        depth = self.get_buffer("depth")[:, filled + 1, None].expand(-1, -1, place.shape[2], -1)
        image = torch.cat([torch.cat([depth, place], dim=-1), filling], dim=2)
        return (image[0], image[1]), (text[0], text[1])

    def _patches(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, N, 4 C)."""
        half, channels = self._half, latents.shape[1]
        patches = latents.reshape(-1, channels, half, PATCH, half, PATCH).permute(0, 2, 4, 3, 5, 1)
        return patches.reshape(-1, half * half, PATCH * PATCH * channels)

    def _picture(self, tokens: Tensor) -> Tensor:
        half, channels = self._half, tokens.shape[-1] // PATCH**2
        patches = tokens.reshape(-1, half, half, PATCH, PATCH, channels).permute(0, 5, 1, 3, 2, 4)
        return patches.reshape(-1, channels, half * PATCH, half * PATCH)


def read(source: Source) -> Family:
    """A Z-Image pipeline. Its scale g is one less than ours: p + g (p - n) = n + (g + 1) (p - n).

    Raises:
        FewstepError: a part is missing or damaged, or the transformer is one that edits pictures.
    """
    folder, config = source.folder, source.folder.config("transformer")
    if config.get("siglip_feat_dim") is not None or list(config["all_patch_size"]) != [PATCH]:
        raise FewstepError(
            f"expected a Z-Image transformer for text alone, with patches of {PATCH}, found another, in "
            f"{folder.path / 'transformer'}; use the pipeline's own runtime"
        )
    defaults = Defaults("ZImagePipeline")
    length = defaults.integer("max_sequence_length")
    largest = PATCH * min(config["axes_lens"][1:])
    side = source.autoencoder.side(source.size, SIZE // source.autoencoder.factor, PATCH, largest)
    template = _template(folder)
    record = TokenizerFile(file_name(0), length, prompt=template, negative=template)
    inputs = ("latents", "timestep", "text_states", "text_mask")
    denoiser = ZImage(folder.module("transformer"), side, length).eval()
    encoder = load_language_model(folder, "text_encoder")
    return Family(
        (
            Component("text_encoder", encoder, ("input_ids", "text_mask"), ("text_states",)),
            Component("denoiser", denoiser, inputs, ("prediction",)),
        ),
        (read_tokenizer(folder, "tokenizer", record),),
        side,
        Guidance(defaults.guidance + 1),
        defaults.steps,
        tokens=(side // PATCH) ** 2,
        even_levels=True,
        arguments=_arguments,
    )


def _template(folder: Folder) -> Template:
    """What the tokenizer's chat template puts around what a user says."""
    mark = "the prompt"
    chat = folder.tokenizer("tokenizer").apply_chat_template(
        [{"role": "user", "content": mark}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=True,
    )
    before, found, after = str(chat).partition(mark)
    if not found:
        raise FewstepError(
            f"expected a chat template that repeats the prompt, found another, in {folder.path / 'tokenizer'}; download the "
            "tokenizer again"
        )
    return Template(before, after)


def _arguments(call: Call) -> dict[str, object]:
    return {**prompt_and_scale(call), "guidance_scale": call.scale - 1}
