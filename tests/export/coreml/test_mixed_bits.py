"""Bits under a budget: the greedy choice against all choices, and what is stored."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from fewstep.network import Feeds
from fewstep_export.coreml.compress import palettize
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.mixed_bits import Fitted, Option, shared_by, spend
from fewstep_export.coreml.package import read_package
from fewstep_export.onnx_export import Graphs
from fewstep_export.targets.ort import to_fp16

CHOICES = (4, 6, 8)


def test_greedy_choice_is_the_best_one_for_weights_of_one_size() -> None:
    rows = [(9.0, 1.0), (0.4, 0.1), (4.0, 0.2), (0.5, 0.2)]
    options = [{b: Option(b, e) for b, e in zip(CHOICES, (*row, 0.0), strict=True)} for row in rows]
    chosen = spend([10] * 4, options, budget=5.0)
    allowed = [bits for bits in product(CHOICES, repeat=4) if sum(bits) <= 5.0 * 4]
    best = min(allowed, key=lambda bits: sum(options[i][b].error for i, b in enumerate(bits)))
    assert tuple(chosen) == best


def test_a_budget_out_of_reach_takes_the_fewest_bits() -> None:
    assert spend([10, 10], [{4: Option(4.1, 1.0), 6: Option(6.1, 0.5)}] * 2, budget=1.0) == [4, 4]


@pytest.mark.parametrize(("bits", "rows", "columns"), [(4, 448, 448), (6, 512, 128), (8, 64, 9), (4, 7, 100)])
def test_palettes_that_channels_share_cost_little(bits: int, rows: int, columns: int) -> None:
    channels = shared_by(bits, rows, columns)
    if channels:
        assert rows % channels == 0 and 16 * 2**bits / (channels * columns) <= 0.08
    else:
        assert all(rows % size or 16 * 2**bits / (size * columns) > 0.08 for size in range(1, rows))


@pytest.fixture(scope="session")
def half(graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The FP16 package of the tiny decoder for iOS 18; tests only read it."""
    path = tmp_path_factory.mktemp("palettes") / "decoder.mlpackage"
    convert(to_fp16(graphs["decoder"].model), path, ConvertConfig("iOS18"))
    return path


@pytest.mark.parametrize("grouped", [False, True])
def test_budget_holds_and_the_package_computes_with_the_palettes(
    grouped: bool, half: Path, inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    chosen = Fitted(half, inputs["decoder"], grouped).choose(CHOICES, 5.5)
    assert len({stored.form.bits for stored in chosen.values()}) > 1
    size = sum(stored.values.numel() for stored in chosen.values())
    assert sum(stored.values.numel() * stored.form.bits for stored in chosen.values()) <= 5.5 * size
    path = tmp_path / "mixed.mlpackage"
    palettize(half, path, chosen)
    packed = [op for op in read_package(path).operations if op.operator == "constexpr_lut_to_dense"]
    assert len(packed) == len(chosen)
    assert any(op.arguments["lut"].type.shape[0] > 1 for op in packed) == grouped
    rounded = {name: stored.values.numpy().astype(np.float16) for name, stored in chosen.items()}
    expected = Evaluator(half).with_constants(rounded)(inputs["decoder"][0])["image"]
    np.testing.assert_allclose(Evaluator(path)(inputs["decoder"][0])["image"], expected, atol=1e-6)
