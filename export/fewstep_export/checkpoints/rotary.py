"""Rotary positions without complex numbers, which ONNX lacks (Su et al., "RoFormer", 2021): for Lumina2 and Z-Image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rotary = tuple[Tensor, Tensor]
"""cos and sin (B, S, d / 2) of the angles of S tokens, for pairs of neighbours in heads of width d."""


def table(angles: Tensor) -> Tensor:
    """Cos and sin (2, n, d) of a complex table e^(i angle) (n, d)."""
    return torch.stack([angles.real, angles.imag]).float()


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Heads (B, S, H, d) with every pair of neighbours turned by its angle."""
    cos, sin = (part[:, :, None] for part in rotary)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(3)


class RotaryAttention:
    """An attention processor of diffusers; keys and values may have fewer heads than queries.

    The caller's mask is boolean, (B, S), true where a token may be looked at.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotary | None = None,
        freqs_cis: Rotary | None = None,
    ) -> Tensor:
        """The attention of the tokens (B, S, D) to each other; the two kinds of blocks give the positions by two names."""
        rotary = image_rotary_emb if freqs_cis is None else freqs_cis
        assert rotary is not None
        width = attn.to_q.out_features // attn.heads
        q, k, v = (to(hidden_states).unflatten(-1, (-1, width)) for to in (attn.to_q, attn.to_k, attn.to_v))
        q, k = rotate(attn.norm_q(q), rotary), rotate(attn.norm_k(k), rotary)
        q, k, v = (heads.transpose(1, 2) for heads in (q, *_repeated((k, v), attn.heads)))
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        result: Tensor = attn.to_out[0](output.transpose(1, 2).flatten(2))
        return result


def use_real_rotary(transformer: nn.Module) -> None:
    """Lets all blocks take cos and sin for positions."""
    for module in transformer.modules():
        if type(module).__name__ == "Attention":
            module.set_processor(RotaryAttention())  # type: ignore[operator]


def _repeated(tensors: Sequence[Tensor], heads: int) -> list[Tensor]:
    """Every head (B, S, h, d) so often, one after the other, that there are `heads`."""
    return [x.repeat_interleave(heads // x.shape[2], dim=2) if x.shape[2] != heads else x for x in tensors]
