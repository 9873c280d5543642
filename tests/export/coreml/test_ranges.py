"""Ranges of eight-bit inputs: against the known best one, and which layers are left out."""

import numpy as np
import pytest

from fewstep.network import Feeds
from fewstep_export.coreml.ranges import best_range, eight_bit_ranges
from fewstep_export.onnx_export import Graphs
from fewstep_export.tensorrt.qdq import activation_ranges

RANDOM = np.random.default_rng(0)


def test_even_values_keep_their_range_at_the_noise_of_a_rounded_one() -> None:
    values = RANDOM.uniform(-3, 3, 20_000).astype(np.float32)
    limit, decibels = best_range(values, float(np.abs(values).max()))
    assert limit == pytest.approx(3, rel=1e-3)
    assert decibels == pytest.approx(20 * np.log10(2 * 127), abs=0.1)  # step^2 / 12 against (2 limit)^2 / 12


def test_a_long_tail_is_cut_and_costs_more() -> None:
    values = np.append(RANDOM.standard_normal(20_000), 60).astype(np.float32)
    limit, decibels = best_range(values, 60)
    assert limit < 60 and decibels < best_range(values[:-1], float(np.abs(values[:-1]).max()))[1] - 5


def test_nothing_is_known_of_zeros() -> None:
    assert best_range(np.zeros(4, np.float32), 0.0) == (0.0, 0.0)


def test_layers_below_the_least_are_left_out(graphs: Graphs, inputs: dict[str, list[Feeds]]) -> None:
    model, cases = graphs["decoder"].model, inputs["decoder"]
    every, peaks = eight_bit_ranges(model, cases, 0.0), activation_ranges(model, cases)
    assert every.keys() == peaks.keys() and all(0 < every[name] <= peaks[name] * 1.0001 for name in every)
    some = eight_bit_ranges(model, cases, 38.0)
    assert 0 < len(some) < len(every) and all(every[name] == limit for name, limit in some.items())
