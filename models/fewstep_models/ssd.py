"""Mamba-2's state space duality (Dao & Gu 2024, arXiv:2405.21060) in its chunked form: matrix products, no scan over positions."""

import torch
from torch import Tensor, nn


def ssd(x: Tensor, a: Tensor, b: Tensor, c: Tensor, chunk: int, reverse: bool = False) -> Tensor:
    """``h_t = exp(a_t) h_{t-1} + b_t x_t^T; y_t = c_t^T h_t``, from the end to the start where ``reverse``.

    x (B, heads, L, p), a (B, heads, L) not positive, b and c (B, L, n) shared by the heads -> y (B, heads, L, p). L is a multiple of
    ``chunk``. Within a chunk it is masked attention with the weights ``exp(a_{j+1} + ... + a_i)``, between chunks the same on the states
    that they leave. Tensors have rank <= 4.
    """
    batch, heads, length, p = x.shape
    n = length // chunk
    x = x.reshape(batch, heads, n, chunk * p).transpose(1, 2).reshape(batch * n, heads, chunk, p)
    a = a.reshape(batch, heads, n, chunk)
    b, c = b.reshape(batch * n, 1, chunk, -1), c.reshape(batch * n, 1, chunk, -1)

    rates = a.transpose(1, 2).reshape(batch * n, heads, chunk)
    y = ((c @ b.transpose(-1, -2)) * segments(rates, 0, reverse).exp()) @ x

    left = b * _decay(
        rates, not reverse, strict=True
    )  # what each position leaves behind at the end of its chunk
    states = left.transpose(-1, -2) @ x  # (B chunks, heads, n, p)
    states = states.reshape(batch, n, heads, -1).transpose(1, 2)  # (B, heads, chunks, n p)
    reached = segments(a.sum(-1), 1, reverse).exp() @ states
    reached = reached.transpose(1, 2).reshape(batch * n, heads, -1, p)
    y = y + (c * _decay(rates, reverse, strict=False)) @ reached

    return y.reshape(batch, n, heads, chunk * p).transpose(1, 2).reshape(batch, heads, length, p)


def segments(a: Tensor, lag: int, reverse: bool) -> Tensor:
    """``s_ij = a_{j+1} + ... + a_{i-lag}`` where ``j <= i - lag``, else -1e4: a (B, heads, q) -> (B, heads, q, q); mirrored by ``reverse``.

    Each sum is taken by itself (products with constant triangles; CumSum is missing on NPUs): differences of running sums would lose
    the small sums, which are those that count.
    """
    ones = a.new_ones(a.shape[-1], a.shape[-1])
    later, upto = (ones.tril(-1), ones.tril(-lag)) if reverse else (ones.triu(1), ones.triu(lag))
    sums = (a[..., None, :] * later) @ upto
    return (sums + (upto - 1.0) * 1e4).transpose(-1, -2)


def _decay(a: Tensor, backwards: bool, strict: bool) -> Tensor:
    """``exp(a_1 + ... + a_i)`` (to ``a_{i-1}`` where ``strict``), or from the end: (B, heads, q) -> (B, heads, q, 1)."""
    ones = a.new_ones(a.shape[-1], a.shape[-1])
    triangle = ones.tril(-int(strict)) if backwards else ones.triu(int(strict))
    return (a @ triangle).exp()[..., None]


class SSD(nn.Module):
    """The selective state space of Mamba-2: step sizes dt, a decay rate and a skip a head.

    x (B, heads, L, p), dt (B, heads, L) before softplus, b and c (B, L, n) -> (B, heads, L, p); computed in FP32.
    """

    full_precision = ("log_rate", "dt_bias")  # sums over thousands of positions stand behind an exponential

    def __init__(self, heads: int, chunk: int, reverse: bool) -> None:
        super().__init__()
        self.chunk, self.reverse = chunk, reverse
        self.log_rate = nn.Parameter(torch.arange(1.0, heads + 1).log())
        start = torch.exp(torch.linspace(-6.9, -2.3, heads))  # dt from 0.001 to 0.1
        self.dt_bias = nn.Parameter(start + torch.log(-torch.expm1(-start)))  # the inverse of softplus
        self.skip = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor, dt: Tensor, b: Tensor, c: Tensor) -> Tensor:
        with torch.autocast(device_type=x.device.type, enabled=False):
            x, b, c = x.float(), b.float(), c.float()
            step = nn.functional.softplus(dt.float() + self.dt_bias[:, None])
            a = -self.log_rate.exp()[:, None] * step
            y = ssd(x * step[..., None], a, b, c, self.chunk, self.reverse)
            return y + self.skip[:, None, None] * x
