"""PixArt: agreement with the class of diffusers at random weights."""

from typing import Any

import pytest
import torch
from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

from fewstep.errors import FewstepError
from fewstep_models.pixart import PixArtConfig

from .conftest import export, operators, randomise
from .test_backbones import NOT_PORTABLE

PUBLISHED: dict[str, Any] = {
    "num_attention_heads": 3,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "sample_size": 8,
    "cross_attention_dim": 48,
    "caption_channels": 24,
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "alpha": {},
    "alpha with sizes": {"use_additional_conditions": True},
    "interpolated positions": {"interpolation_scale": 2},
    "one pixel a patch": {"patch_size": 1},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parity_with_diffusers(layout: str) -> None:
    theirs = randomise(PixArtTransformer2DModel(**PUBLISHED, **LAYOUTS[layout]))
    ours = PixArtConfig.from_diffusers(theirs.config).build().eval()
    ours.load_diffusers(theirs.state_dict())
    x, text, t = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 24), torch.tensor([731.0, 12.0])
    mask = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    sizes = {"resolution": torch.full((2, 2), 64.0), "aspect_ratio": torch.ones(2, 1)}
    told = sizes if ours.config.told_size else dict.fromkeys(sizes)
    with torch.no_grad():
        found = ours(x, t, text, mask)
        expected = theirs(x, text, t, added_cond_kwargs=told, encoder_attention_mask=mask).sample[:, :4]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("side", "told", "extent"), [(64, False, 32), (128, True, 32), (32, False, 16)])
def test_published_sizes_say_what_diffusers_reads_into_them(side: int, told: bool, extent: float) -> None:
    config = {**PUBLISHED, "sample_size": side, "patch_size": 2}
    found = PixArtConfig.from_diffusers(config)
    assert (found.told_size, found.extent) == (told, extent)


def test_other_blocks_are_refused() -> None:
    with pytest.raises(
        FewstepError, match="expected a PixArt with norm_type ada_norm_single, found ada_norm"
    ):
        PixArtConfig.from_diffusers({**PUBLISHED, "norm_type": "ada_norm"})


def test_weights_that_do_not_fit_are_named() -> None:
    state = randomise(PixArtTransformer2DModel(**PUBLISHED)).state_dict()
    ours = PixArtConfig.from_diffusers({**PUBLISHED, "patch_size": 2}).build()
    with pytest.raises(FewstepError, match=r"'text.linear_1.bias' is missing"):
        ours.load_diffusers({n: v for n, v in state.items() if n != "caption_projection.linear_1.bias"})
    with pytest.raises(FewstepError, match="'extra' has no place"):
        ours.load_diffusers({**state, "extra": torch.zeros(1)})


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"PixArtConfig.size \(9\) must be a multiple of patch \(2\)"):
        PixArtConfig(size=9)


def test_the_graph_is_portable_and_agrees_with_torch() -> None:
    config = PixArtConfig(
        size=8, width=48, depth=1, head_channels=16, text_dim=24, extent=4.0, told_size=True
    )
    text, mask = torch.randn(2, 5, 24), torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    values = torch.randn(2, 4, 8, 8), torch.tensor([731.0, 12.0]), text, mask
    assert not operators(export(randomise(config.build()), values).model) & NOT_PORTABLE
