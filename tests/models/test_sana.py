"""The denoiser: size, interface, what it may and may not depend on."""

from typing import Any

import pytest
import torch
from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

from fewstep.errors import FewstepError
from fewstep_models.sana import SanaConfig, SanaDenoiser

from .conftest import randomise

PUBLISHED: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 8,
    "sample_size": 4,
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "num_layers": 2,
    "num_cross_attention_heads": 2,
    "cross_attention_head_dim": 16,
    "cross_attention_dim": 32,
    "caption_channels": 24,
    "patch_size": 1,
}

TINY = SanaConfig(width=32, depth=2, head_channels=8, cross_head_channels=16, text_dim=12, size=4)


def _awake(config: SanaConfig) -> SanaDenoiser:
    """A denoiser whose zero-initialised layers are random, so that every path matters."""
    torch.manual_seed(0)
    model = SanaDenoiser(config)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def _inputs() -> tuple[torch.Tensor, ...]:
    mask = torch.tensor([[1.0, 1, 1, 0], [1, 1, 0, 0]])
    return torch.randn(2, 8, 4, 4), torch.tensor([10.0, 900.0]), torch.randn(2, 4, 12), mask


def test_default_size_is_that_of_the_issue() -> None:
    count = sum(p.numel() for p in SanaDenoiser(SanaConfig()).parameters())
    assert 10e6 <= count <= 14e6


def test_parity_with_diffusers() -> None:
    theirs = randomise(SanaTransformer2DModel(**PUBLISHED))
    ours = SanaDenoiser(SanaConfig.from_diffusers(theirs.config)).eval()
    ours.load_diffusers(theirs.state_dict())
    x, text, t = torch.randn(2, 8, 4, 4), torch.randn(2, 5, 24), torch.tensor([731.5, 12.0])
    mask = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        expected = theirs(x, text, t, encoder_attention_mask=mask).sample
        torch.testing.assert_close(ours(x, t, text, mask), expected, atol=1e-5, rtol=1e-5)


def test_models_with_other_parts_are_refused() -> None:
    sprint = {**PUBLISHED, "qk_norm": "rms_norm_across_heads"}
    with pytest.raises(FewstepError, match="expected a Sana with qk_norm None, found rms_norm_across_heads"):
        SanaConfig.from_diffusers(sprint)


def test_untrained_network_predicts_no_velocity() -> None:
    assert not SanaDenoiser(TINY)(*_inputs()).any()


def test_velocity_depends_on_every_input_but_the_padding() -> None:
    model, (x, t, text, mask) = _awake(TINY), _inputs()
    velocity = model(x, t, text, mask)
    assert velocity.shape == x.shape
    assert not torch.allclose(velocity, model(x + 1, t, text, mask))
    assert not torch.allclose(velocity, model(x, t / 2, text, mask))
    assert not torch.allclose(velocity, model(x, t, -text, mask))
    padded = text + 50 * (1 - mask)[..., None]
    torch.testing.assert_close(velocity, model(x, t, padded, mask))


def test_rows_of_a_batch_do_not_mix() -> None:
    model, inputs = _awake(TINY), _inputs()
    alone = model(*(x[:1] for x in inputs))
    torch.testing.assert_close(model(*inputs)[:1], alone, atol=1e-5, rtol=1e-5)


def test_position_comes_from_the_padding_of_the_convolutions() -> None:
    model, (_, t, text, mask) = _awake(TINY), _inputs()
    velocity = model(torch.ones(2, 8, 4, 4), t, text, mask)
    assert not torch.allclose(velocity[..., 0, 0], velocity[..., 1, 1])


def test_positions_tell_apart_what_no_padding_reaches() -> None:
    """One block sees one pixel far: within, all places of an even picture are alike to it, unless it has tables of positions."""
    config = SanaConfig(width=32, depth=1, head_channels=8, cross_head_channels=16, text_dim=12, size=6)
    model, (_, t, text, mask) = _awake(config), _inputs()
    even = torch.ones(2, 8, 6, 6)
    before = model(even, t, text, mask)
    torch.testing.assert_close(before[..., 2, 2], before[..., 3, 3])
    model.add_positions()
    assert model.config.positions
    torch.testing.assert_close(model(even, t, text, mask), before, atol=0, rtol=0)
    torch.nn.init.normal_(model.rows)
    torch.nn.init.normal_(model.columns)
    after = model(even, t, text, mask)
    assert not torch.allclose(after[..., 2, 2], after[..., 3, 3])
    assert not torch.allclose(after[..., 2, 3], after[..., 3, 2])
    assert set(model.config.build().state_dict()) == set(model.state_dict())


def test_gradients_stay_bounded_at_the_start() -> None:
    model, inputs = _awake(SanaConfig(width=64, depth=3)), None
    x, t = torch.randn(32, 8, 16, 16), torch.rand(32) * 1000
    inputs = (x, t, torch.randn(32, 6, 384), torch.ones(32, 6))
    (model(*inputs) - torch.randn_like(x)).square().mean().backward()
    assert torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) < 100


@pytest.mark.parametrize("field", ["width", "depth", "text_dim"])
def test_config_refuses_sizes_that_no_model_has(field: str) -> None:
    with pytest.raises(ValueError, match=f"SanaConfig.{field} must be positive, found 0"):
        SanaConfig(**{field: 0})  # type: ignore[arg-type]
