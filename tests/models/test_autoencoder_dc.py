"""DC-AE: agreement with the class of diffusers at random weights."""

from typing import Any

import diffusers
import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_models.autoencoder_dc import AutoencoderDCConfig
from fewstep_models.multiscale_attention import MultiscaleLinearAttention

from .conftest import randomise

KINDS = ("ResBlock", "EfficientViTBlock", "EfficientViTBlock")
PUBLISHED: dict[str, Any] = {
    "latent_channels": 8,
    "attention_head_dim": 8,
    "encoder_block_types": KINDS,
    "decoder_block_types": KINDS,
    "encoder_block_out_channels": (8, 16, 32),
    "decoder_block_out_channels": (8, 16, 32),
    "encoder_layers_per_block": (1, 2, 1),
    "decoder_layers_per_block": (2, 1, 1),
    "encoder_qkv_multiscales": ((), (), (5,)),
    "decoder_qkv_multiscales": ((), (5,), (3, 5)),
}
LAYOUTS = {
    "Sana's": {"upsample_block_type": "interpolate", "downsample_block_type": "Conv"},
    "folded": {"upsample_block_type": "pixel_shuffle", "downsample_block_type": "pixel_unshuffle"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parity_with_diffusers(layout: str) -> None:
    theirs = randomise(diffusers.AutoencoderDC(**PUBLISHED, **LAYOUTS[layout]))
    ours = AutoencoderDCConfig.from_diffusers(theirs.config).build().eval()
    ours.load_diffusers(theirs.state_dict())
    image, latents = torch.rand(2, 3, 32, 32), torch.randn(2, 8, 8, 8)
    with torch.no_grad():
        expected = theirs.encode(image * 2 - 1).latent
        torch.testing.assert_close(ours.encode(image), expected, atol=1e-5, rtol=1e-5)
        picture = (theirs.decode(latents).sample * 0.5 + 0.5).clamp(0, 1)
        assert picture.std() > 0.05
        torch.testing.assert_close(ours.decode(latents), picture, atol=1e-5, rtol=1e-5)
    assert ours.config.downsampling == 4


def test_a_dead_head_gives_zero() -> None:
    attention = MultiscaleLinearAttention(16, 8, (3,)).eval()
    attention.to_qkv.weight.data.zero_()
    assert not attention(torch.randn(1, 16, 4, 4)).any()


def test_what_does_not_fit_is_named() -> None:
    theirs = diffusers.AutoencoderDC(**PUBLISHED)
    ours = AutoencoderDCConfig.from_diffusers(theirs.config).build()
    state = {n: v for n, v in theirs.state_dict().items() if n != "decoder.norm_out.bias"}
    with pytest.raises(FewstepError, match=r"'decoder\.norm_out\.bias' is missing"):
        ours.load_diffusers(state)
    batch_norm = {**theirs.config, "decoder_norm_types": ("batch_norm", "rms_norm", "rms_norm")}
    with pytest.raises(FewstepError, match="expected a DC-AE with decoder_norm_types rms_norm, found"):
        AutoencoderDCConfig.from_diffusers(batch_norm)
    empty = {**theirs.config, "encoder_layers_per_block": (0, 2, 1)}
    with pytest.raises(FewstepError, match=r"found encoder_layers_per_block \[0, 2, 1\]"):
        AutoencoderDCConfig.from_diffusers(empty)
    with pytest.raises(ValueError, match="one stage a resolution, found 0 and 0"):
        AutoencoderDCConfig()
