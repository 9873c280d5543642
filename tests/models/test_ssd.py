"""State space duality: the chunked form against the recurrence, in both directions."""

import pytest
import torch
from torch import Tensor

from fewstep_models.ssd import SSD, segments, ssd


def _stepped(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    state = torch.zeros(*x.shape[:2], b.shape[-1], x.shape[-1], dtype=x.dtype)
    outputs = []
    for t in range(x.shape[2]):
        state = state * a[:, :, t, None, None].exp() + b[:, None, t, :, None] * x[:, :, t, None, :]
        outputs.append((c[:, None, t, :, None] * state).sum(-2))
    return torch.stack(outputs, 2)


@pytest.mark.parametrize("chunk", [4, 8, 24])
@pytest.mark.parametrize("reverse", [False, True])
def test_chunks_are_the_recurrence(chunk: int, reverse: bool) -> None:
    torch.manual_seed(0)
    x, a = torch.randn(2, 3, 24, 5, dtype=torch.float64), -torch.rand(2, 3, 24, dtype=torch.float64)
    b, c = (torch.randn(2, 24, 4, dtype=torch.float64) for _ in range(2))
    if reverse:
        turned = _stepped(x.flip(2), a.flip(2), b.flip(1), c.flip(1)).flip(2)
        torch.testing.assert_close(ssd(x, a, b, c, chunk, reverse=True), turned)
    else:
        torch.testing.assert_close(ssd(x, a, b, c, chunk), _stepped(x, a, b, c))


def test_segments_are_sums_that_keep_their_digits() -> None:
    a = torch.tensor([[[-1e4, -1e-3, -2e-3, -5e4]]])
    sums = segments(a, 0, reverse=False)[0, 0]
    torch.testing.assert_close(sums[2, 0], torch.tensor(-3e-3))  # as a difference of running sums: -2.93e-3
    torch.testing.assert_close(sums.diagonal(), torch.zeros(4))
    assert (sums.triu(1)[0, 1:] <= -1e4).all()
    torch.testing.assert_close(segments(a.flip(-1), 0, reverse=True)[0, 0].flip(0, 1), sums)


def test_strong_decay_forgets_and_does_not_overflow() -> None:
    layer = SSD(2, chunk=8, reverse=False)
    x, b, c = torch.randn(1, 2, 32, 4), torch.randn(1, 32, 3), torch.randn(1, 32, 3)
    y = layer(x, torch.full((1, 2, 32), 1e3), b, c)  # exp(-1000): each position remembers itself alone
    dt = 1e3 + layer.dt_bias[:, None, None]
    expected = x + dt * x * (b * c).sum(-1)[:, None, :, None]
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-2)
