"""DiffuSSM: how positions become tokens and back; equal results of both forms of its state space."""

import dataclasses

import pytest
import torch

from fewstep_models.diffussm import DiffuSSMConfig, HourglassBlock

from .conftest import awake, inputs

TINY = DiffuSSMConfig(size=8, width=16, depth=1, states=4, chunk=16, cross_head_channels=8, text_dim=12)


def test_expanding_puts_the_parts_of_a_token_side_by_side() -> None:
    block = HourglassBlock(TINY)
    tokens = torch.randn(2, 32, 8, 4)  # two positions of 16 channels in a token, channel by channel
    sequence = block.expand(tokens)
    assert sequence.shape == (2, 16, 64)
    torch.testing.assert_close(sequence[:, 3, 2 * 5 + 1], tokens[:, 2 * 3 + 1, 1, 1])
    torch.testing.assert_close(block.gather(sequence, tokens), tokens, atol=0, rtol=0)


def test_both_forms_give_the_same_velocity() -> None:
    chunked, values = awake(TINY.build()), inputs(TINY)
    convolution = dataclasses.replace(TINY, form="convolution").build()
    convolution.load_state_dict(chunked.state_dict())
    torch.testing.assert_close(convolution(*values), chunked(*values), atol=1e-5, rtol=1e-5)


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"DiffuSSMConfig.size \(16\) must be a multiple of squeeze \(3\)"):
        DiffuSSMConfig(squeeze=3)
