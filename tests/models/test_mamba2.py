"""Mamba-2's mixer: it looks one way only, and backwards is forwards on the turned sequence."""

import pytest
import torch

from fewstep_models.mamba2 import Mamba2, Mamba2Config

TINY = Mamba2Config(size=4, width=16, states=8, head_channels=8, chunk=4, cross_head_channels=8, text_dim=12)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_position_depends_on_those_that_were_read_before(reverse: bool) -> None:
    torch.manual_seed(0)
    mixer = Mamba2(TINY, reverse)
    u = torch.randn(1, 16, 16)
    changed = u.clone()
    changed[..., 7] += 1
    moved = (mixer(changed) - mixer(u)).abs().amax((0, 1))
    seen, unseen = (moved[:8], moved[8:]) if reverse else (moved[7:], moved[:7])
    assert seen.min() > 1e-7
    torch.testing.assert_close(unseen, torch.zeros_like(unseen), atol=1e-6, rtol=0)


def test_backwards_is_forwards_on_the_turned_sequence() -> None:
    torch.manual_seed(0)
    ahead, behind = Mamba2(TINY, reverse=False), Mamba2(TINY, reverse=True)
    state = ahead.state_dict()
    behind.load_state_dict({**state, "conv.weight": state["conv.weight"].flip(-1)})
    u = torch.randn(2, 16, 16)
    torch.testing.assert_close(behind(u.flip(-1)).flip(-1), ahead(u), atol=1e-6, rtol=1e-5)


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"chunk \(100\) must divide the 256 positions"):
        Mamba2Config(chunk=100)
    with pytest.raises(ValueError, match=r"head_channels \(60\) must divide expand \* width \(512\)"):
        Mamba2Config(head_channels=60)
