"""MMDiT: agreement with SD3's and SD 3.5's form in diffusers; what the text stream sees."""

from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

from fewstep.errors import FewstepError
from fewstep_models.mmdit import MMDiTConfig, MMDiTDenoiser

from .conftest import awake, inputs, randomise

SD3: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "joint_attention_dim": 24,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 20,
    "out_channels": 4,
    "pos_embed_max_size": 12,
}
SD35_MEDIUM = {**SD3, "qk_norm": "rms_norm", "dual_attention_layers": (0, 1)}


@pytest.mark.parametrize("published", [SD3, SD35_MEDIUM], ids=["sd3", "sd35-medium"])
def test_parity_with_diffusers(published: dict[str, Any]) -> None:
    theirs = randomise(SD3Transformer2DModel(**published))
    ours = MMDiTDenoiser(MMDiTConfig.from_diffusers(theirs.config)).eval()
    ours.load_diffusers(theirs.state_dict())
    x, text, pooled, t = (
        torch.randn(2, 4, 8, 8),
        torch.randn(2, 7, 24),
        torch.randn(2, 20),
        torch.tensor([731.5, 12.0]),
    )
    with torch.no_grad():
        expected = theirs(x, text, pooled, t).sample
        torch.testing.assert_close(ours(x, t, text, torch.ones(2, 7), pooled), expected, atol=1e-5, rtol=1e-5)


def test_weights_that_do_not_fit_are_named() -> None:
    state, ours = SD3Transformer2DModel(**SD3).state_dict(), MMDiTConfig.from_diffusers(SD3).build()
    for theirs, named in (("pos_embed.pos_embed", "pos_embed.pos_embed"), ("proj_out.bias", "proj_out.bias")):
        with pytest.raises(FewstepError, match=f"'{named}' is missing"):
            ours.load_diffusers({name: value for name, value in state.items() if name != theirs})
    with pytest.raises(FewstepError, match="'extra' has no place"):
        ours.load_diffusers({**state, "extra": torch.zeros(1)})


def test_without_a_pooled_vector_the_mean_of_the_tokens_is_pooled() -> None:
    config = MMDiTConfig(width=32, depth=2, head_channels=16, text_dim=12, pooled_dim=12, size=4)
    model, (x, t, text, mask) = awake(config.build()), inputs(config)
    pooled = torch.stack([states[: int(m.sum())].mean(0) for states, m in zip(text, mask, strict=True)])
    torch.testing.assert_close(model(x, t, text, mask), model(x, t, text, mask, pooled))


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(
        ValueError, match=r"MMDiTConfig.width \(100\) must be a multiple of head_channels \(64\)"
    ):
        MMDiTConfig(width=100)
