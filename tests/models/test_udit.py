"""U-DiT: the four interleaved maps, rotary positions, and what attention within a map can see."""

import pytest
import torch

from fewstep_models.udit import DownsampledAttention, UDiTConfig, rotary_tables, rotate


def test_parts_are_interleaved_maps_and_join_undoes_them() -> None:
    layer = DownsampledAttention(8, 4, size=6)
    x = torch.arange(2 * 8 * 36.0).reshape(2, 8, 6, 6)
    parts = layer.part(x)
    assert parts.shape == (2, 8, 9, 4)
    torch.testing.assert_close(
        parts[1, 2, 4], x[1, :4, 2, 3]
    )  # part 1 (even row, odd column), head 0, centre
    torch.testing.assert_close(layer.join(parts, 6, 6), x, atol=0, rtol=0)


def test_without_the_depthwise_convolution_maps_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    layer = DownsampledAttention(8, 4, size=4)
    x = torch.randn(1, 8, 4, 4)
    changed = x.clone()
    changed[..., 0, 0] += 1
    assert ((layer(changed) - layer(x)).abs().amax((0, 1)) > 1e-7).sum() > 4
    torch.nn.init.zeros_(layer.mix.weight)
    moved = (layer(changed) - layer(x)).abs().amax((0, 1)) > 1e-7
    assert moved[0::2, 0::2].all()
    assert moved.sum() == 4


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    cos, sin = rotary_tables(8, 4)
    q, k = (rotate(torch.randn(8).expand(16, 8), cos, sin) for _ in range(2))
    scores = (q @ k.T).reshape(4, 4, 4, 4)  # (row, column) of q, then of k
    torch.testing.assert_close(scores[0, 1, 2, 2], scores[1, 2, 3, 3], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(scores[0, 1, 2, 2], scores[0, 1, 2, 3])
    a, b = (
        torch.complex(torch.tensor(1.0), torch.tensor(2.0)),
        torch.polar(torch.tensor(1.0), torch.tensor(1.0)),
    )
    turned = rotate(
        torch.tensor([[1.0, 0, 2.0, 0]]), *(t[4:5] for t in rotary_tables(4, 4))
    )  # row 1, column 0
    torch.testing.assert_close(turned[0, ::2], torch.view_as_real(a * b))


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"UDiTConfig.size \(12\) cannot be halved 3 times"):
        UDiTConfig(size=12)
    with pytest.raises(ValueError, match=r"width \(100\) must be a multiple of head_channels \(32\)"):
        UDiTConfig(width=100)
