"""T5 encoders: PixArt has one alone, SD3 and FLUX beside CLIP."""

from torch import Tensor, nn

from fewstep_export.checkpoints.clip import plain_attention
from fewstep_export.checkpoints.folder import Folder


class T5States(nn.Module):
    """input_ids, text_mask (B, L) -> text_states (B, L, D); padding is not attended to."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        states: Tensor = self.encoder(input_ids, attention_mask=text_mask)[0]
        return states


def load_t5(folder: Folder, part: str) -> nn.Module:
    """A T5 encoder, with attention in plain operators."""
    return plain_attention(folder.module(part))
