"""Which layers cost the most quality, by their effect on the output of the whole graph, and which are therefore left in float.

Every layer alone is put into integers and the graph runs on calls that the shipped sampler made. The errors of single layers add in
squares (measured on the zoo model: root of the sum 0.0952, all layers together 0.0964), so that a choice of layers can
be predicted without trying it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
import onnx

from fewstep_quantization.layers import multiplications
from fewstep_quantization.trajectory import Trajectory, mean_relative_error, outputs

Quantise = Callable[[Collection[str]], onnx.ModelProto]
"""Layers that stay float (or get two planes), by name -> the quantised graph."""


@dataclass(frozen=True)
class LayerError:
    """What one layer in integers does to the output (relative error), and its part of all multiplications."""

    layer: str
    error: float
    share: float


@dataclass(frozen=True)
class Choice:
    """A point of the trade: these layers no longer in plain integers, the error predicted, and the multiplications that still are."""

    layers: tuple[str, ...]
    error: float
    integer_share: float


def layer_errors(
    model: onnx.ModelProto,
    quantise: Quantise,
    layers: Collection[str],
    trajectory: Trajectory,
    expected: Sequence[npt.NDArray[np.float32]] | None = None,
) -> list[LayerError]:
    """The effect of each of these layers alone, the largest first.

    Args:
        model: the float graph.
        quantise: layers that are better than plain integers -> the graph.
        layers: those in question.
        trajectory: calls to compare outputs on.
        expected: outputs of the graph in which all of them are better; None takes the float graph's.
    """
    expected = outputs(model, trajectory) if expected is None else expected
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
