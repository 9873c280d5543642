"""The KL autoencoder: agreement with the class of diffusers at random weights."""

from typing import Any

import diffusers
import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_models.autoencoder_kl import AutoencoderKLConfig

from .conftest import randomise

PUBLISHED: dict[str, Any] = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "latent_channels": 4,
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "Stable Diffusion": {},
    "SD3 and FLUX": {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False},
    "without attention": {"mid_block_add_attention": False},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parity_with_diffusers(layout: str) -> None:
    theirs = randomise(diffusers.AutoencoderKL(**{**PUBLISHED, **LAYOUTS[layout]}))
    ours = AutoencoderKLConfig.from_diffusers(theirs.config).build().eval()
    ours.load_diffusers(theirs.state_dict())
    image, latents = torch.rand(2, 3, 16, 16), torch.randn(2, ours.config.latent_channels, 4, 4)
    with torch.no_grad():
        mean = theirs.encode(image * 2 - 1).latent_dist.mean
        torch.testing.assert_close(ours.encode(image), mean, atol=1e-5, rtol=1e-5)
        picture = (theirs.decode(latents).sample * 0.5 + 0.5).clamp(0, 1)
        assert picture.std() > 0.05
        torch.testing.assert_close(ours.decode(latents), picture, atol=1e-5, rtol=1e-5)
    assert ours.config.downsampling == 4


def test_weights_and_levels_that_do_not_fit_are_named() -> None:
    state = diffusers.AutoencoderKL(**PUBLISHED).state_dict()
    ours = AutoencoderKLConfig.from_diffusers({"in_channels": 3, **PUBLISHED}).build()
    with pytest.raises(FewstepError, match=r"'decoder.levels.0.blocks.1.conv1.bias' is missing"):
        ours.load_diffusers(
            {n: v for n, v in state.items() if n != "decoder.up_blocks.0.resnets.1.conv1.bias"}
        )
    other = {"in_channels": 3, **PUBLISHED, "down_block_types": ("AttnDownEncoderBlock2D",) * 3}
    with pytest.raises(FewstepError, match="found AttnDownEncoderBlock2D"):
        AutoencoderKLConfig.from_diffusers(other)


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"widths \(48\) must be multiples of groups \(32\)"):
        AutoencoderKLConfig(widths=(48,))
