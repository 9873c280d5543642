"""Stable Diffusion 3 and 3.5: MMDiT, with two CLIP encoders and T5, which may be left out."""

import torch
from torch import Tensor, nn

from fewstep.manifest import Guidance, TokenizerFile
from fewstep_export.checkpoints.clip import clip_tokenizer, load_clip
from fewstep_export.checkpoints.family import Defaults, Family, Source
from fewstep_export.checkpoints.t5 import load_t5
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import Component


class TwoClipsAndT5(nn.Module):
    """input_ids, input_ids_2 (B, L) and input_ids_3 (B, M) -> text_states (B, L + M, D), pooled (B, P_1 + P_2).

    The states of CLIP, side by side and filled up with zeros to D, stand before those of T5, which are zeros without T5.
    """

    def __init__(
        self, first: nn.Module, second: nn.Module, t5: nn.Module | None, length: int, width: int
    ) -> None:
        super().__init__()
        self.first, self.second, self.t5 = first, second, t5
        self.register_buffer("silence", torch.zeros(1, length, width), persistent=False)

    def forward(
        self, input_ids: Tensor, input_ids_2: Tensor, input_ids_3: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        first = self.first(input_ids, output_hidden_states=True)
        second = self.second(input_ids_2, output_hidden_states=True)
        clip = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        silence = self.get_buffer("silence")
        t5 = silence.expand(input_ids.shape[0], -1, -1) if self.t5 is None else self.t5(input_ids_3)[0]
        clip = nn.functional.pad(clip, (0, silence.shape[-1] - clip.shape[-1]))
        return torch.cat([clip, t5], dim=1), torch.cat([first[0], second[0]], dim=-1)


class Mmdit(nn.Module):
    """The velocity (B, C, h, w) of latents, timestep, text_states and pooled."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, pooled: Tensor) -> Tensor:
        output: Tensor = self.transformer(
            latents,
            encoder_hidden_states=text_states,
            pooled_projections=pooled,
            timestep=timestep,
            return_dict=False,
        )[0]
        return output


def read(source: Source) -> Family:
    """A Stable Diffusion 3 pipeline.

    Raises:
        FewstepError: a part is missing or damaged.
    """
    folder, config = source.folder, source.folder.config("transformer")
    defaults, patch = Defaults("StableDiffusion3Pipeline"), int(config["patch_size"])
    side = source.autoencoder.side(
        source.size, int(config["sample_size"]), patch, patch * int(config["pos_embed_max_size"])
    )
    length, whole = defaults.integer("max_sequence_length"), folder.has("text_encoder_3")
    clips = [load_clip(folder, part) for part in ("text_encoder", "text_encoder_2")]
    t5 = load_t5(folder, "text_encoder_3") if whole else None
    encoder = TwoClipsAndT5(clips[0], clips[1], t5, length, int(config["joint_attention_dim"])).eval()
    tokens = ("input_ids", "input_ids_2", "input_ids_3")[: 3 if whole else 2]
    tokenizers = [clip_tokenizer(folder, k) for k in range(2)]
    if whole:
        tokenizers.append(read_tokenizer(folder, "tokenizer_3", TokenizerFile(file_name(2), length)))
    denoiser = Mmdit(folder.module("transformer")).eval()
    inputs = ("latents", "timestep", "text_states", "pooled")
    return Family(
        (
            Component("text_encoder", encoder, tokens, ("text_states", "pooled")),
            Component("denoiser", denoiser, inputs, ("prediction",)),
        ),
        tuple(tokenizers),
        side,
        Guidance(defaults.guidance),
        defaults.steps,
        tokens=(side // patch) ** 2,
    )
