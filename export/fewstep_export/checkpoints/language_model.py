"""Decoder language models as text encoders: Gemma-2 for Lumina2, Qwen3 for Z-Image."""

from torch import Tensor, nn

from fewstep_export.checkpoints.clip import plain_attention
from fewstep_export.checkpoints.folder import Folder


class PenultimateStates(nn.Module):
    """input_ids, text_mask (B, L) -> text_states (B, L, D) before the last layer."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        states: Tensor = self.encoder(
            input_ids, attention_mask=text_mask, output_hidden_states=True, use_cache=False
        ).hidden_states[-2]
        return states


def load_language_model(folder: Folder, part: str) -> nn.Module:
    """The model, with attention in plain operators."""
    return PenultimateStates(plain_attention(folder.module(part))).eval()
