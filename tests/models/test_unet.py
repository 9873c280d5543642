"""The U-Net: agreement with diffusers for every layout that Stable Diffusion has had; LinFusion in place of its self-attention."""

from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from fewstep.errors import FewstepError
from fewstep_models.linfusion import GeneralisedLinearAttention
from fewstep_models.unet import UNetConfig, UNetDenoiser

from .conftest import randomise

SD1: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 24,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
SD2 = {**SD1, "attention_head_dim": (2, 4), "use_linear_projection": True}
BK_SDM = {**SD1, "layers_per_block": 1, "mid_block_type": None}
SDXL = {
    **SD2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 3),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 20 + 6 * 4,
}


def _published(config: dict[str, Any]) -> UNet2DConditionModel:
    model: UNet2DConditionModel = randomise(UNet2DConditionModel(**config))
    return model


def _inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(3)
    return torch.randn(2, 4, 8, 8), torch.tensor([731.0, 12.0]), torch.randn(2, 5, 24), torch.ones(2, 5)


@pytest.mark.parametrize("published", [SD1, SD2, BK_SDM], ids=["sd1", "sd2", "bk-sdm"])
def test_parity_with_diffusers(published: dict[str, Any]) -> None:
    theirs, (x, t, text, mask) = _published(published), _inputs()
    ours = UNetDenoiser(UNetConfig.from_diffusers(theirs.config)).eval()
    ours.load_diffusers(theirs.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t, text, mask), theirs(x, t, text).sample, atol=1e-5, rtol=1e-5)


def test_parity_of_sdxl_with_its_added_vector() -> None:
    theirs, (x, t, text, mask) = _published(SDXL), _inputs()
    ours = UNetDenoiser(UNetConfig.from_diffusers(theirs.config)).eval()
    ours.load_diffusers(theirs.state_dict())
    conditions = {"text_embeds": torch.randn(2, 20), "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2)}
    sizes = theirs.add_time_proj(conditions["time_ids"].flatten()).reshape(2, -1)
    with torch.no_grad():
        expected = theirs(x, t, text, added_cond_kwargs=conditions).sample
        added = torch.cat([conditions["text_embeds"], sizes], dim=-1)
        torch.testing.assert_close(ours(x, t, text, mask, added), expected, atol=1e-5, rtol=1e-5)


def test_linfusion_takes_the_weights_of_the_attention_that_it_replaces() -> None:
    theirs = _published(SD1)
    ours = UNetDenoiser(UNetConfig.from_diffusers(theirs.config, "linfusion")).eval()
    ours.load_diffusers(theirs.state_dict())
    layer = ours.get_submodule("down.0.attentions.0.blocks.0.attention")
    assert isinstance(layer, GeneralisedLinearAttention)
    source = theirs.state_dict()["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.weight"]
    torch.testing.assert_close(layer.to_k.weight[..., 0, 0], source)
    x = torch.randn(1, 32, 4, 4)
    torch.testing.assert_close(layer.project_q(x), x)
    assert torch.isfinite(ours(*_inputs())).all()


def test_weights_that_do_not_fit_are_named() -> None:
    state = _published(SD1).state_dict()
    ours = UNetDenoiser(UNetConfig.from_diffusers(UNet2DConditionModel(**SD2).config))
    with pytest.raises(FewstepError, match=r"expected the \d+ weights of a UNetDenoiser"):
        ours.load_diffusers({**state, "time_embedding.cond_proj.weight": torch.zeros(2, 2)})


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="one entry a resolution, found 2, 3 and 3"):
        UNetConfig(widths=(32, 64))
    with pytest.raises(ValueError, match=r"UNetConfig.size \(6\) cannot be halved 2 times"):
        UNetConfig(size=6)
