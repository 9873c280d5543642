"""Palettes that are fitted to what a layer computes, not to its weights.

A layer y = W x is stored as indices into palettes of 2^bits values, one palette for every few output channels. Its error on its own inputs
is tr(dW H dW^T) with H = sum x x^T. Palettes come of k-means in one dimension, weighted by the diagonal of H; indices are then chosen
column by column, each column's error spread over the columns still to come (GPTQ, Frantar et al. 2022, arXiv:2210.17323, there for
uniform grids).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 20
"""Of Lloyd's algorithm; more change the error by less than 1 %."""
_DAMPING = 0.01
"""Of the mean of H's diagonal, added to it, as GPTQ does."""
_PLACES = 4096
"""Of the sorted values, so many tell their density."""
_FP16_VALUES = 2**16
"""How many different values FP16 has: longer rows repeat them."""


@dataclass(frozen=True)
class PaletteForm:
    """How a weight is stored: bits an index, and how many output channels share a palette (0: all of them)."""

    bits: int
    channels: int = 0

    def groups(self, rows: int) -> int:
        """How many palettes a weight of so many output channels has."""
        return rows // self.channels if self.channels and rows % self.channels == 0 else 1


def fit(weight: Tensor, form: PaletteForm, hessian: Tensor | None = None) -> Tensor:
    """The weight in values of its palettes.

    Args:
        weight: (O, K) float32.
        form: see there.
        hessian: (K, K), the sum of x x^T over inputs of the layer; None takes all inputs for equally strong and independent.

    Returns:
        (O, K) float32 that FP16 holds exactly, with at most 2^bits values a group of rows.
    """
    rows, columns = weight.shape
    importance = torch.ones(columns) if hessian is None else _damped(hessian).diagonal()
    grouped = weight.reshape(form.groups(rows), -1)
    palettes = _kmeans(grouped, importance.repeat(grouped.shape[1] // columns), 2**form.bits)
    palettes = palettes.half().float().repeat_interleave(rows // len(palettes), 0)
    if hessian is None:
        return _nearest(weight, palettes)
    return _with_feedback(weight, palettes, _damped(hessian))


def error(weight: Tensor, stored: Tensor, hessian: Tensor) -> float:
    """The squared error of the layer's outputs relative to their squares."""
    difference = weight - stored
    return float(((difference @ hessian) * difference).sum() / ((weight @ hessian) * weight).sum())


def _damped(hessian: Tensor) -> Tensor:
    mean = hessian.diagonal().mean().clamp(min=1e-12)
    return hessian + torch.eye(len(hessian)) * _DAMPING * mean


def _kmeans(values: Tensor, importance: Tensor, count: int) -> Tensor:
    """K-means in one dimension of every row of `values` (G, n) with the weights `importance` (n); palettes (G, count), ascending."""
    palettes = _start(values, count)
    if values.shape[1] <= _FP16_VALUES:
        return _lloyd(values, importance.expand_as(values), palettes)
    merged = [_merged(row, importance) for row in values]
    return torch.cat([_lloyd(*one, start[None]) for one, start in zip(merged, palettes, strict=True)])


def _start(values: Tensor, count: int) -> Tensor:
    """Palettes (G, count) as dense as the cube root of the values' density f, which is best for many values (Panter and Dite 1951).

    As dense as f, Lloyd's steps leave the tails too coarse: with 64 values for normal ones an error 2.7 times as large. The integral of f^(1/3) is a
    sum over the spacings of the sorted values, to the power of 2/3.
    """
    places = torch.linspace(0, values.shape[1] - 1, min(_PLACES, values.shape[1])).round().long()
    ordered = values.sort(1).values[:, places]
    spacings = ordered.diff(dim=1)
    until = F.pad(spacings.pow(2 / 3).cumsum(1), (1, 0))  # (G, places)
    wanted = (torch.arange(count) + 0.5) / count * until[:, -1:]
    left = torch.searchsorted(until[:, 1:].contiguous(), wanted).clamp(max=len(places) - 2)
    low, high = until.gather(1, left), until.gather(1, left + 1)
    share = ((wanted - low) / (high - low).clamp(min=1e-30)).clamp(0, 1)
    return ordered.gather(1, left) + share * spacings.gather(1, left)


def _merged(values: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct values of (n), which are few as they are FP16, and the importance of each (1, m): the same to Lloyd's algorithm."""
    distinct, places = values.unique(return_inverse=True)
    mass = torch.zeros(len(distinct), dtype=torch.float64).scatter_add_(0, places, importance.double())
    return distinct[None], mass.float()[None]


def _lloyd(values: Tensor, importance: Tensor, palettes: Tensor) -> Tensor:
    """Lloyd's algorithm on every row of `values` (G, n), weighted by `importance` (G, n), from `palettes` (G, count)."""
    for _ in range(_STEPS):
        indices = torch.searchsorted((palettes[:, 1:] + palettes[:, :-1]) / 2, values)
        mass = torch.zeros_like(palettes).scatter_add_(1, indices, importance)
        total = torch.zeros_like(palettes).scatter_add_(1, indices, importance * values)
        palettes = torch.where(mass > 0, total / mass.clamp(min=1e-30), palettes).sort(1).values
    return palettes


def _nearest(values: Tensor, palettes: Tensor) -> Tensor:
    """Each of `values` (O, n) as the nearest value of its row's palette (O, count), which ascends."""
    indices = torch.searchsorted((palettes[:, 1:] + palettes[:, :-1]) / 2, values.contiguous())
    return palettes.gather(1, indices)


def _with_feedback(weight: Tensor, palettes: Tensor, hessian: Tensor, block: int = 64) -> Tensor:
    """Columns in order, most important first, each one's error taken out of the columns behind it."""
    order = hessian.diagonal().argsort(descending=True)
    inverse = torch.linalg.inv(hessian.double()[order][:, order])
    upper = torch.linalg.cholesky(inverse, upper=True).float()
    left, stored = weight[:, order].clone(), torch.empty_like(weight)
    for begin in range(0, weight.shape[1], block):
        end = min(begin + block, weight.shape[1])
        errors = torch.empty(len(weight), end - begin)
        for k in range(begin, end):
            chosen = _nearest(left[:, k : k + 1], palettes)
            stored[:, order[k]] = chosen[:, 0]
            errors[:, k - begin] = (left[:, k] - chosen[:, 0]) / upper[k, k]
            left[:, k:end] -= errors[:, k - begin, None] * upper[None, k, k:end]
        left[:, end:] -= errors @ upper[begin:end, end:]
    return stored
