"""elu + 1 linear attention against the double sum of its definition; drop-in for softmax attention."""

import pytest
import torch
from torch.nn import functional as F

from fewstep_models.attention import SelfAttention, self_attention
from fewstep_models.kernel_attention import KernelLinearAttention, elu_plus_one


def test_feature_map_keeps_its_digits_below_zero() -> None:
    x = torch.tensor([-80.0, -20.0, -1.0, 0.0, 3.0])
    torch.testing.assert_close(elu_plus_one(x[2:]), F.elu(x[2:]) + 1)
    torch.testing.assert_close(elu_plus_one(x[:2]), x[:2].exp(), atol=0, rtol=1e-6)  # elu(-20) + 1 would be 0


def test_attention_is_the_double_sum_of_its_definition() -> None:
    torch.manual_seed(0)
    attention = KernelLinearAttention(8, head_channels=4, eps=0.0)
    x = torch.randn(1, 8, 2, 3)
    q, k, v = attention.to_qkv(x).reshape(3, 2, 4, 6)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    weights = q.transpose(-1, -2) @ k  # (2, N, N): phi(q_i) . phi(k_j)
    out = (weights / weights.sum(-1, keepdim=True)) @ v.transpose(-1, -2)
    expected = attention.to_out(out.transpose(-1, -2).reshape(1, 8, 2, 3))
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-5)


def test_weights_are_those_of_the_softmax_attention_that_it_replaces() -> None:
    softmax, linear = SelfAttention(16, 8), self_attention("elu", 16, 8)
    linear.load_state_dict(softmax.state_dict())
    assert {name: v.shape for name, v in linear.state_dict().items()} == {
        name: v.shape for name, v in softmax.state_dict().items()
    }


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"channels \(10\) must be a multiple of head_channels \(4\)"):
        KernelLinearAttention(10, 4)
