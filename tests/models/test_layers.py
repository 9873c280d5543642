"""The layers against their formulas."""

import math

import torch
from torch.nn import functional as F

from fewstep_models.layers import ChannelLayerNorm, CrossAttention, LinearAttention, timestep_embedding


def test_timestep_embedding_is_cosines_then_sines() -> None:
    row = timestep_embedding(torch.tensor([731.5]), 8)[0]
    frequencies = [10000 ** (-i / 4) for i in range(4)]
    expected = [math.cos(731.5 * w) for w in frequencies] + [math.sin(731.5 * w) for w in frequencies]
    torch.testing.assert_close(row, torch.tensor(expected), atol=1e-4, rtol=0)


def test_layer_norm_is_torch_layer_norm_over_channels() -> None:
    x = torch.randn(2, 24, 3, 5)
    expected = F.layer_norm(x.movedim(1, -1), (24,), eps=1e-6).movedim(-1, 1)
    torch.testing.assert_close(ChannelLayerNorm()(x), expected, atol=1e-5, rtol=1e-5)


def test_linear_attention_is_the_double_sum_of_its_definition() -> None:
    attention = LinearAttention(8, head_channels=4, eps=0.1)
    x = torch.randn(1, 8, 2, 3)
    q, k, v = attention.to_qkv(x).reshape(3, 2, 4, 6)
    q, k = q.relu(), k.relu()
    out = torch.zeros(2, 4, 6)
    for head in range(2):
        for i in range(6):
            scores = torch.stack([(q[head, :, i] * k[head, :, j]).sum() / 6 for j in range(6)])
            weighted = sum(scores[j] * v[head, :, j] for j in range(6))
            out[head, :, i] = weighted / (scores.sum() + 0.1)
    expected = attention.to_out(out.reshape(1, 8, 2, 3))
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-5)


def test_a_dead_head_gives_zero_and_finite_gradients() -> None:
    attention = LinearAttention(4, head_channels=4)
    torch.nn.init.zeros_(attention.to_qkv.weight)
    x = torch.randn(1, 4, 2, 2, requires_grad=True)
    out = attention(x)
    bias = attention.to_out.bias
    assert bias is not None
    torch.testing.assert_close(out, bias[:, None, None].expand_as(out[0])[None])
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_cross_attention_does_not_see_padded_text() -> None:
    attention = CrossAttention(16, head_channels=8)
    x, text = torch.randn(1, 16, 2, 2), torch.randn(1, 5, 16)
    bias = torch.tensor([0.0, 0.0, 0.0, -1e4, -1e4])[None, None, None]
    changed = text.clone()
    changed[:, 3:] += 100
    torch.testing.assert_close(attention(x, text, bias), attention(x, changed, bias))
    assert not torch.allclose(attention(x, text, bias), attention(x, changed, torch.zeros_like(bias)))
