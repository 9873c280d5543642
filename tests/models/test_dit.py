"""DiT: what adaLN-Zero says, and agreement with the published form in diffusers."""

from typing import Any

import pytest
import torch
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

from fewstep.errors import FewstepError
from fewstep_models.dit import ClassDiT, DiTBlock, DiTConfig

from .conftest import randomise

PUBLISHED: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": 10,
}


def _published() -> DiTTransformer2DModel:
    """A random model whose blocks share one embedding of time and class, as published weights do."""
    model: DiTTransformer2DModel = randomise(DiTTransformer2DModel(**PUBLISHED))
    state = model.state_dict()
    for name in state:
        _, found, rest = name.partition(".norm1.emb.")
        if found:
            state[name] = state[f"transformer_blocks.0{found}{rest}"]
    model.load_state_dict(state)
    return model


def test_parity_with_diffusers() -> None:
    theirs = _published()
    ours = ClassDiT(DiTConfig.from_diffusers(theirs.config), classes=10).eval()
    ours.load_diffusers(theirs.state_dict())
    x, t, y = torch.randn(2, 4, 8, 8), torch.tensor([731.0, 12.0]), torch.tensor([3, 10])
    with torch.no_grad():
        expected = theirs(x, t, y).sample[:, :4]
        torch.testing.assert_close(ours(x, t, y), expected, atol=1e-5, rtol=1e-5)


def test_weights_that_do_not_fit_are_named() -> None:
    state = _published().state_dict()
    ours = ClassDiT(DiTConfig.from_diffusers({**PUBLISHED, "norm_eps": 1e-5}), classes=10)
    with pytest.raises(FewstepError, match=r"'dit.proj_out.bias' is missing \(1 in all\)"):
        ours.load_diffusers({name: value for name, value in state.items() if name != "proj_out_2.bias"})
    with pytest.raises(FewstepError, match="'extra' has no place"):
        ours.load_diffusers({**state, "extra": torch.zeros(1)})
    with pytest.raises(
        FewstepError, match=r"expected shape \(11, 32\), found \(7, 32\), in weight 'labels.weight'"
    ):
        changed = {n: v[:7] if "embedding_table" in n else v for n, v in state.items()}
        ours.load_diffusers(changed)


def test_blocks_with_embedders_of_their_own_are_refused() -> None:
    state = randomise(DiTTransformer2DModel(**PUBLISHED)).state_dict()
    ours = ClassDiT(DiTConfig.from_diffusers({**PUBLISHED, "norm_eps": 1e-5}), classes=10)
    with pytest.raises(FewstepError, match=r"another .* in 'transformer_blocks\.1'"):
        ours.load_diffusers(state)


def test_an_untrained_block_is_the_identity() -> None:
    config = DiTConfig(width=32, head_channels=16, text_dim=0)
    model = ClassDiT(config, classes=3).dit
    block = model.blocks[0]
    assert isinstance(block, DiTBlock)
    x, c = torch.randn(2, 32, 4, 4), torch.randn(2, 32)
    torch.testing.assert_close(block(x, c, None, None), x, atol=0, rtol=0)


def test_config_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"DiTConfig.size \(16\) must be a multiple of patch \(3\)"):
        DiTConfig(patch=3)
    with pytest.raises(
        ValueError, match=r"attention must be one of softmax, relu, elu, linfusion, found 'fast'"
    ):
        DiTConfig(attention="fast")  # type: ignore[arg-type]
