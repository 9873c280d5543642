"""Softmax attention: the fused kernel, the form that is exported, and the definition agree."""

import pytest
import torch
from torch import Tensor, nn

from fewstep_models.attention import SelfAttention, self_attention, softmax_attention


class _Attention(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return softmax_attention(q, k, v, bias)


def test_the_exported_form_is_the_fused_one() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 8)
    bias = torch.where(torch.arange(7) < 5, 0.0, -1e4)[None, None, None].expand(2, 1, 1, 7)
    weights = (q @ k.transpose(-1, -2) / 8**0.5 + bias).softmax(-1)
    fused = softmax_attention(q, k, v, bias)
    torch.testing.assert_close(fused, weights @ v, atol=1e-6, rtol=1e-5)
    program = torch.export.export(_Attention(), (q, k, v, bias))
    names = {str(node.target) for node in program.graph.nodes}
    assert any("softmax" in name for name in names)
    assert not any("scaled_dot_product" in name for name in names)
    torch.testing.assert_close(program.module()(q, k, v, bias), fused, atol=1e-6, rtol=1e-5)


def test_heads_are_consecutive_channels_and_positions_are_rows() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8, 4)
    x = torch.randn(1, 8, 2, 3)
    q, k, v = layer.to_qkv(x)[0].reshape(3, 2, 4, 6)
    weights = (q.transpose(-1, -2) @ k / 2).softmax(-1)
    out = (weights @ v.transpose(-1, -2)).transpose(-1, -2).reshape(1, 8, 2, 3)
    torch.testing.assert_close(layer(x), layer.to_out(out), atol=1e-6, rtol=1e-5)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(
        ValueError, match="attention must be one of softmax, relu, elu, linfusion, found 'fast'"
    ):
        self_attention("fast", 8, 4)  # type: ignore[arg-type]
