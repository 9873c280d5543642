"""Which layers cost the most quality, by their effect on the output of the whole graph, and which are therefore left in float.

Every layer alone is put into integers and the graph runs on calls that the shipped sampler made. The errors of single layers add in
squares (measured on the zoo model: root of the sum 0.0952, all layers together 0.0964), so that a choice of layers can
be predicted without trying it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import sqrt

import onnx

from fewstep_quantization.layers import multiplications
from fewstep_quantization.trajectory import Trajectory, mean_relative_error, outputs

Quantise = Callable[[Collection[str]], onnx.ModelProto]
"""Layers that stay float, by name -> the quantised graph."""


@dataclass(frozen=True)
class LayerError:
    """What one layer in integers does to the output (relative error), and its part of all multiplications."""

    layer: str
    error: float
    share: float


@dataclass(frozen=True)
class Choice:
    """A point of the trade: these layers in float, the error predicted, and the multiplications that stay integer."""

    float_layers: tuple[str, ...]
    error: float
    integer_share: float


def layer_errors(
    model: onnx.ModelProto, quantise: Quantise, layers: Collection[str], trajectory: Trajectory
) -> list[LayerError]:
    """The effect of each of these layers alone, the largest first."""
    expected = outputs(model, trajectory)
    every = set(layers)
    counts = multiplications(model)
    total = sum(counts.values())
    errors = [
        LayerError(
            layer,
            mean_relative_error(outputs(quantise(every - {layer}), trajectory), expected),
            counts[layer] / total,
        )
        for layer in sorted(layers)
    ]
    return sorted(errors, key=lambda entry: -entry.error)


def pareto(errors: Collection[LayerError]) -> list[Choice]:
    """From all layers in integers to none: the layer that buys the most error for the fewest multiplications leaves first."""
    order = sorted(errors, key=lambda entry: -(entry.error**2) / max(entry.share, 1e-9))
    choices = [Choice((), _total(order), sum(entry.share for entry in order))]
    for k in range(1, len(order) + 1):
        left = order[k:]
        names = tuple(entry.layer for entry in order[:k])
        choices.append(Choice(names, _total(left), sum(entry.share for entry in left)))
    return choices


def _total(errors: Collection[LayerError]) -> float:
    return sqrt(sum(entry.error**2 for entry in errors))
