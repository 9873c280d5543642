"""Palettes moved by gradients: nearer to FP16 on texts that were not met, and never worse; padding does not count."""

from pathlib import Path

import numpy as np
import pytest

from fewstep.network import Feeds
from fewstep_export.components import Array
from fewstep_export.coreml.calibration import hessians
from fewstep_export.coreml.compress import palettize
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.mixed_bits import Fitted, Stored
from fewstep_export.coreml.tuning import Tuned, TuningConfig, tune

_LENGTH, _TOKENS = 8, 5
_GENTLE = TuningConfig(rounds=6, rows=8, rate=3e-3)


def _texts(count: int, seed: int) -> list[Feeds]:
    """Texts of five tokens of the tiny vocabulary."""
    draw = np.random.default_rng(seed).integers
    mask = (np.arange(_LENGTH) < _TOKENS).astype(np.float32)[None]
    return [{"input_ids": draw(4, 12, (1, _LENGTH), np.int32), "text_mask": mask} for _ in range(count)]


@pytest.fixture(scope="module")
def half(halves: dict[str, Path]) -> Path:
    return halves["text_encoder"]


@pytest.fixture(scope="module")
def chosen(half: Path) -> dict[str, Stored]:
    """Coarse palettes, so that there is something to win."""
    return dict(Fitted(half, _texts(32, 0), grouped=False, padded=True).in_bits(2))


@pytest.fixture(scope="module")
def tuned(half: Path, chosen: dict[str, Stored]) -> Tuned:
    """All of them moved but the first."""
    return tune(half, chosen, frozenset({next(iter(chosen))}), _texts(128, 1), True, _GENTLE)


def _error(half: Path, found: Evaluator) -> float:
    """Of the states of texts that no tuning met, relative."""
    right, errors = Evaluator(half, "fp32"), list[Array]()
    for feeds in _texts(16, 99):
        a, b = (run(feeds)["text_states"][:, :_TOKENS] for run in (right, found))
        errors.append(np.square(a - b).sum() / np.square(a).sum())
    return float(np.mean(errors))


def _written(half: Path, found: Tuned, path: Path) -> Evaluator:
    palettize(half, path, found.weights, found.others)
    return Evaluator(path, "fp32")


def test_a_tuned_package_is_nearer_on_other_texts_and_as_large(
    half: Path, chosen: dict[str, Stored], tuned: Tuned, tmp_path: Path
) -> None:
    before = _written(half, Tuned(chosen, {}), tmp_path / "before.mlpackage")
    after = _written(half, tuned, tmp_path / "after.mlpackage")
    assert tuned.others and _error(half, after) < 0.8 * _error(half, before)
    sizes = [
        sum(file.stat().st_size for file in (tmp_path / name).rglob("weight.bin"))
        for name in ("before.mlpackage", "after.mlpackage")
    ]
    assert sizes[0] == sizes[1]


def test_indices_stay_and_so_do_fixed_weights(chosen: dict[str, Stored], tuned: Tuned) -> None:
    fixed, found = next(iter(chosen)), tuned.weights
    assert found[fixed] is chosen[fixed]
    for name in chosen.keys() - {fixed}:
        moved, before = found[name].values, chosen[name].values
        assert not moved.equal(before) and moved.equal(moved.half().float())
        for value in before.unique():
            assert len(moved[before == value].unique()) == 1


def test_what_makes_other_texts_worse_is_not_taken(half: Path, chosen: dict[str, Stored]) -> None:
    found = tune(half, chosen, frozenset(), _texts(64, 1), True, TuningConfig(rate=3.0))
    assert found.weights is chosen and not found.others


def test_padding_does_not_count(half: Path) -> None:
    case = _texts(1, 0)[0]
    ids = case["input_ids"].copy()
    ids[:, _TOKENS:] = 4 + (ids[:, _TOKENS:] + 1) % 8
    other = {**case, "input_ids": ids}
    for padded in (True, False):
        one, two = (hessians(half, [feeds], padded) for feeds in (case, other))
        same = [bool(np.allclose(one[name], two[name], rtol=1e-3, atol=1e-5)) for name in one]
        assert same == [padded] * len(one)
