"""Bits under a budget: groups, the greedy choice against all choices, and what is stored."""

from itertools import product
from pathlib import Path

import pytest

from fewstep.network import Feeds
from fewstep_export.coreml.convert import convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.mixed_bits import CHOICES, choose_bits, spend, split
from fewstep_export.onnx_export import Graphs
from fewstep_export.targets.ort import to_fp16


def test_groups_keep_all_weights_in_order() -> None:
    sizes = {f"w{i}": 1 + i % 3 for i in range(20)}
    groups = split(sizes, 6)
    assert [name for group in groups for name in group] == list(sizes)
    assert len(groups) == 6


def test_greedy_choice_is_the_best_one_for_groups_of_one_size() -> None:
    errors = {
        (i, bits): error
        for i, row in enumerate([(9.0, 1.0), (0.4, 0.1), (4.0, 0.2), (0.5, 0.2)])
        for bits, error in zip(CHOICES, (*row, 0.0), strict=True)
    }
    chosen = spend([10] * 4, errors, budget=5.0)
    allowed = [bits for bits in product(CHOICES, repeat=4) if sum(bits) <= 5.0 * 4]
    best = min(allowed, key=lambda bits: sum(errors[i, b] for i, b in enumerate(bits)))
    assert tuple(chosen) == best


@pytest.mark.slow
def test_budget_holds_and_is_spent(graphs: Graphs, inputs: dict[str, list[Feeds]], tmp_path: Path) -> None:
    half = tmp_path / "half.mlpackage"
    convert(to_fp16(graphs["decoder"].model), half)
    bits = choose_bits(half, inputs["decoder"])
    assert set(bits.values()) <= set(CHOICES) and len(set(bits.values())) > 1
    assert Evaluator(half, "fp16")(inputs["decoder"][0])["image"].shape[1] == 4
