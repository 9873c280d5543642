"""CLIP text encoders: Stable Diffusion has one, SDXL, SD3 and FLUX have two or more encoders."""

from typing import Any

from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.manifest import TokenizerFile
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import TokenizerSource


class ClipStates(nn.Module):
    """input_ids (B, L) -> text_states (B, L, D): the states behind the last layer's norm."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor) -> Tensor:
        states: Tensor = self.encoder(input_ids)[0]
        return states


def load_clip(folder: Folder, part: str) -> nn.Module:
    """A CLIP text encoder, with attention in plain operators.

    Raises:
        FewstepError: it wants an attention mask, or see `Folder.module`.
    """
    if folder.config(part).get("use_attention_mask"):
        raise FewstepError(
            f"expected a CLIP text encoder without attention mask, found use_attention_mask, in {folder.path / part}; "
            "use the pipeline's own runtime"
        )
    return plain_attention(folder.module(part))


def plain_attention(encoder: Any) -> nn.Module:
    """The encoder with softmax attention written out, which every exporter reads."""
    encoder.set_attn_implementation("eager")
    result: nn.Module = encoder
    return result


def clip_tokenizer(folder: Folder, k: int) -> TokenizerSource:
    """The tokenizer of text encoder k, counted from 0, with as many tokens as the encoder has positions."""
    suffix = f"_{k + 1}" if k else ""
    length = int(folder.config(f"text_encoder{suffix}")["max_position_embeddings"])
    return read_tokenizer(folder, f"tokenizer{suffix}", TokenizerFile(file_name(k), length))
