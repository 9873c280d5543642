"""PixArt-alpha and PixArt-Sigma: a DiT with cross-attention to T5."""

from typing import Any

import torch
from torch import Tensor, nn

from fewstep.manifest import Guidance, TokenizerFile
from fewstep_export.checkpoints.family import Defaults, Family, Source, prompt_and_scale
from fewstep_export.checkpoints.t5 import T5States, load_t5
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import Component


class PixArt(nn.Module):
    """The noise (B, C, h, w) of latents, timestep, text_states and text_mask; the predicted variance is left out.

    Resolution and aspect ratio, which some checkpoints are told as well, are constants.
    """

    def __init__(self, transformer: Any, size: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer(
            "resolution", torch.tensor([[size, size]], dtype=torch.float32), persistent=False
        )
        self.register_buffer("aspect_ratio", torch.ones(1, 1), persistent=False)
        self._sized = bool(transformer.use_additional_conditions)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        added = {
            name: self.get_buffer(name).expand(latents.shape[0], -1) if self._sized else None
            for name in ("resolution", "aspect_ratio")
        }
        output: Tensor = self.transformer(
            latents,
            encoder_hidden_states=text_states,
            encoder_attention_mask=text_mask,
            timestep=timestep,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return output[:, : latents.shape[1]]


def read(source: Source) -> Family:
    """A PixArt pipeline; alpha and Sigma differ in the length of the text.

    Raises:
        FewstepError: a part is missing or damaged.
    """
    folder, config = source.folder, source.folder.config("transformer")
    sigma = folder.index.get("_class_name") == "PixArtSigmaPipeline"
    defaults = Defaults("PixArtSigmaPipeline" if sigma else "PixArtAlphaPipeline")
    length = defaults.integer("max_sequence_length")
    record = TokenizerFile(file_name(0), length, lowercase=True)
    side = source.autoencoder.side(source.size, int(config["sample_size"]), int(config["patch_size"]))
    encoder = T5States(load_t5(folder, "text_encoder")).eval()
    denoiser = PixArt(folder.module("transformer"), side * source.autoencoder.factor).eval()
    inputs = ("latents", "timestep", "text_states", "text_mask")
    return Family(
        (
            Component("text_encoder", encoder, ("input_ids", "text_mask"), ("text_states",)),
            Component("denoiser", denoiser, inputs, ("prediction",)),
        ),
        (read_tokenizer(folder, "tokenizer", record),),
        side,
        Guidance(defaults.guidance),
        defaults.steps,
        arguments=lambda call: {
            **prompt_and_scale(call),
            "use_resolution_binning": False,
            "clean_caption": False,
        },
    )
