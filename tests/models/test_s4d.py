"""S4D: both forms against the state space itself, stepped through, and against the Fourier form of the paper."""

import pytest
import torch
from torch import Tensor

from fewstep_models.s4d import S4D, S4DForm


def _layer(length: int, form: S4DForm, chunk: int = 8) -> S4D:
    torch.manual_seed(0)
    layer = S4D(6, length, states=4, form=form, chunk=chunk)
    torch.nn.init.uniform_(layer.log_decay, -1.0, 1.0)
    return layer.double()


def _stepped(layer: S4D, u: Tensor, direction: int) -> Tensor:
    """x_l = exp(dt A) x_{l-1} + (exp(dt A) - 1) / A u_l; y_l = 2 Re C x_l, in complex numbers: u (B, channels, L)."""
    a = torch.complex(-layer.log_decay.exp(), layer.frequency)
    c = torch.complex(layer.c_real, layer.c_imag)[direction]
    step = (layer.log_dt.exp()[:, None] * a).exp()
    x = torch.zeros(len(u), *a.shape, dtype=a.dtype)
    outputs = []
    for value in u.unbind(-1):
        x = step * x + (step - 1) / a * value[..., None]
        outputs.append(2 * (c * x).sum(-1).real)
    return torch.stack(outputs, -1)


@pytest.mark.parametrize(("length", "chunk"), [(48, 8), (40, 8), (16, 16), (8, 64)])
@pytest.mark.parametrize("form", ["chunked", "convolution"])
def test_both_forms_are_the_state_space_in_both_directions(form: S4DForm, length: int, chunk: int) -> None:
    layer, u = _layer(length, form, chunk), torch.randn(2, 6, length, dtype=torch.float64)
    ahead = _stepped(layer, u, 0)
    behind = _stepped(layer, u.flip(-1), 1).flip(-1)
    behind = torch.cat([behind[..., 1:], torch.zeros(2, 6, 1)], dim=-1)  # it begins one position later
    torch.testing.assert_close(layer(u), ahead + behind + layer.d[:, None] * u, atol=1e-6, rtol=1e-6)


def test_kernel_is_that_of_the_fourier_form() -> None:
    layer, u, n = _layer(32, "chunked"), torch.randn(1, 6, 32, dtype=torch.float64), 64
    forward, backward = layer.kernel(32)
    both = torch.nn.functional.pad(forward, (0, 32)) + torch.nn.functional.pad(backward.flip(-1), (32, 0))
    spectrum = torch.fft.rfft(u, n=n) * torch.fft.rfft(both, n=n)
    expected = torch.fft.irfft(spectrum, n=n)[..., :32] + layer.d[:, None] * u
    torch.testing.assert_close(layer(u), expected, atol=1e-6, rtol=1e-6)


def test_precomputed_matrices_change_nothing() -> None:
    layer, u = _layer(48, "chunked"), torch.randn(1, 6, 48, dtype=torch.float64)
    expected = layer(u)
    layer.precompute()
    torch.testing.assert_close(layer(u), expected)


def test_lengths_and_forms_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"length \(100\) must be a multiple of chunk \(64\)"):
        S4D(4, 100)
    with pytest.raises(ValueError, match="form must be chunked or convolution, found 'fft'"):
        S4D(4, 64, form="fft")  # type: ignore[arg-type]
