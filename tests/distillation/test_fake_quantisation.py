"""Layers that imitate integers against what `fewstep quantize` makes of the same numbers."""

import numpy as np
import torch
from torch import nn

from fewstep_distillation.fake_quantisation import FakeQuantised, fake_quantise, on_grid, watched
from fewstep_quantization.affine import Range, quantise_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 8))


def watch(module: nn.Module, x: torch.Tensor, noise: float = 0.03) -> None:
    with watched(module, noise), torch.no_grad():
        module(x)


def test_an_input_is_rounded_as_int8_rounds_it_beyond_its_range_too() -> None:
    layer = FakeQuantised(nn.Linear(16, 16, bias=False))
    nn.init.eye_(layer.layer.weight)
    x = torch.randn(2, 5, 16)
    watch(layer, x)
    wider = 2 * torch.randn(2, 5, 16)
    expected = Range(float(x.min()), float(x.max())).round(wider.numpy())
    np.testing.assert_allclose(layer(wider).detach().numpy(), expected, atol=1e-6)


def test_one_row_and_what_eight_bits_hold_badly_stay_float() -> None:
    rows, outliers = torch.randn(64, 16), torch.randn(1, 64, 16)
    outliers[0, 0, 0] = 1000.0
    for x in (rows, outliers):
        layer = FakeQuantised(nn.Linear(16, 16))
        watch(layer, x)
        expected = nn.functional.linear(x, layer.weight, layer.layer.bias)
        assert not layer.rounds and torch.equal(layer(x), expected)
    watch(layer, outliers, noise=1e9)
    assert layer.rounds and not torch.equal(layer(outliers), expected)


def test_weights_on_their_grid_are_what_int8_keeps() -> None:
    module = network()
    names = list(module.state_dict())
    fake_quantise(module, ("2",))
    plain = on_grid(module)
    assert list(plain.state_dict()) == names
    weight = plain.state_dict()["0.weight"].numpy().T
    quantised, scales = quantise_weights(weight)
    np.testing.assert_allclose(quantised * scales, weight, atol=1e-7)
    assert torch.equal(plain[2].weight, network()[2].weight)  # type: ignore[index] # a layer that was left alone
    x = torch.randn(3, 16)
    torch.testing.assert_close(module(x), plain(x))


def test_gradients_go_through_the_rounding() -> None:
    module = network()
    expected = torch.autograd.grad(module(torch.ones(1, 2, 16)).sum(), list(module.parameters()))
    fake_quantise(module, ())
    watch(module, torch.ones(1, 2, 16))
    found = torch.autograd.grad(module(torch.ones(1, 2, 16)).sum(), list(module.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)
