"""TAESD: agreement with the class of diffusers at random weights."""

from typing import Any

import diffusers
import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_models.autoencoder_tiny import AutoencoderTinyConfig

from .conftest import randomise

PUBLISHED: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8),
    "num_encoder_blocks": (1, 2, 3),
    "num_decoder_blocks": (3, 2, 1),
}


def test_parity_with_diffusers() -> None:
    theirs = randomise(diffusers.AutoencoderTiny(**PUBLISHED))
    ours = AutoencoderTinyConfig.from_diffusers(theirs.config).build().eval()
    ours.load_diffusers(theirs.state_dict())
    image, latents = torch.rand(2, 3, 16, 16), 3 * torch.randn(2, 4, 4, 4)
    with torch.no_grad():
        expected = theirs.encode(image * 2 - 1).latents
        torch.testing.assert_close(ours.encode(image), expected, atol=1e-5, rtol=1e-5)
        picture = (theirs.decode(latents).sample * 0.5 + 0.5).clamp(0, 1)
        assert picture.std() > 0.05
        torch.testing.assert_close(ours.decode(latents), picture, atol=1e-5, rtol=1e-5)
    assert ours.config.downsampling == 4


def test_what_does_not_fit_is_named() -> None:
    theirs = diffusers.AutoencoderTiny(**PUBLISHED)
    ours = AutoencoderTinyConfig.from_diffusers(theirs.config).build()
    with pytest.raises(FewstepError, match="'extra' has no place"):
        ours.load_diffusers({**theirs.state_dict(), "extra": torch.zeros(1)})
    with pytest.raises(FewstepError, match="expected a TAESD with act_fn relu, found gelu"):
        AutoencoderTinyConfig.from_diffusers({**theirs.config, "act_fn": "gelu"})
    with pytest.raises(FewstepError, match="expected a TAESD with widths 1, found 2"):
        AutoencoderTinyConfig.from_diffusers({**theirs.config, "decoder_block_out_channels": (8, 16)})
    with pytest.raises(ValueError, match="one entry a level, found 4 and 3"):
        AutoencoderTinyConfig(decoder_blocks=(1, 1, 1))
