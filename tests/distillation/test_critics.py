"""Discriminators: the signs of the hinge, R1 against finite differences, taps, and heads that see features and text."""

import pytest
import torch
from torch import Tensor

from fewstep.errors import FewstepError
from fewstep_distillation.critics import Discriminator, Head, block_channels, hinge, mean, pooled, r1, tapped
from fewstep_models.sana import SanaConfig, SanaDenoiser
from fewstep_models.unet import UNetConfig

BACKBONE = SanaConfig(latent_channels=4, size=4, width=64, depth=3, text_dim=16, time_dim=16)


def test_hinge_wants_real_above_one_and_drawn_below_minus_one() -> None:
    real, fake = (torch.zeros(2, 3, requires_grad=True) for _ in range(2))
    loss = hinge([real], [fake])
    loss.backward()
    assert loss == 2.0
    assert real.grad is not None and (real.grad < 0).all()
    assert fake.grad is not None and (fake.grad > 0).all()
    assert hinge([torch.tensor([1.0, 5.0])], [torch.tensor([-1.0, -5.0])]) == 0.0


def test_r1_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    head = Head(channels=6, text_dim=5, width=8).double()
    features = torch.randn(2, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    text = torch.randn(2, 5, dtype=torch.float64)
    penalty = r1([head(features, text)], [features])

    def total(x: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = head(x, text)
            return logits.sum()

    step, squared = 1e-5, 0.0
    for i in range(features.numel()):
        nudge = torch.zeros(features.numel(), dtype=torch.float64)
        nudge[i] = step
        difference = total(features + nudge.view_as(features)) - total(features - nudge.view_as(features))
        squared += float(difference / (2 * step)) ** 2
    assert float(penalty.detach()) == pytest.approx(squared / len(features), rel=1e-6)
    penalty.backward()  # it trains the head: a second derivative
    assert head.to_hidden.weight.grad is not None and head.to_hidden.weight.grad.abs().max() > 0


def test_r1_is_a_mean_over_the_heads() -> None:
    features = [torch.ones(2, 3, 1, 1, requires_grad=True) for _ in range(2)]
    logits = [2.0 * features[0], 4.0 * features[1]]
    assert r1(logits, features) == (3 * 4.0 + 3 * 16.0) / 2
    assert mean([torch.zeros(2, 8, 8), torch.ones(2, 4, 4)]) == 0.5


def test_taps_see_the_blocks_and_are_gone_afterwards() -> None:
    torch.manual_seed(0)
    denoiser = SanaDenoiser(BACKBONE)
    inputs = (torch.randn(2, 4, 4, 4), torch.tensor([1.0, 2.0]), torch.randn(2, 3, 16), torch.ones(2, 3))
    with tapped(denoiser, (0, 2)) as features:
        denoiser(*inputs)
    denoiser(*inputs)
    assert [f.shape for f in features] == [(2, 64, 4, 4)] * 2
    assert not torch.equal(features[0], features[1])


def test_logits_depend_on_text_and_not_on_the_scale_of_features() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((64, 24), 16)
    features, text = [torch.randn(2, 64, 4, 4), torch.randn(2, 24, 8, 8)], torch.randn(2, 16)
    logits = discriminator(features, text)
    assert [found.shape for found in logits] == [(2, 4, 4), (2, 8, 8)]
    for found, wanted in zip(discriminator([100 * f for f in features], text), logits, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert not torch.allclose(discriminator(features, -text)[0], logits[0], atol=1e-3)


def test_pooled_text_leaves_padding_out() -> None:
    states, mask = torch.tensor([[[1.0], [3.0], [100.0]]]), torch.tensor([[1.0, 1.0, 0.0]])
    assert pooled(states, mask) == torch.tensor([[2.0]])


@pytest.mark.parametrize(("layers", "backbone"), [((3,), BACKBONE), ((0,), UNetConfig())])
def test_teachers_without_such_blocks_are_refused(
    layers: tuple[int, ...], backbone: SanaConfig | UNetConfig
) -> None:
    with pytest.raises(
        FewstepError, match=r"expected a teacher with blocks .* choose other objective\.layers"
    ):
        block_channels(layers, backbone)
