"""Errors of pictures by gradients, against pictures that are drawn with changed weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep.text_to_image import Drawing
from fewstep_export.components import Generator
from fewstep_export.coreml.calibration import Weights
from fewstep_export.coreml.chain import draw_chain
from fewstep_export.coreml.evaluate import Evaluator, by_rows
from fewstep_export.coreml.picture_gradients import Changes, Network, picture_errors, walk

COMPONENTS = ("text_encoder", "denoiser", "decoder")


def _draw(
    tiny: Generator, halves: dict[str, Path], changed: str, weight: str, change: torch.Tensor
) -> np.ndarray:
    """A picture in float32 with W + dW in one network."""
    evaluators = {name: Evaluator(path, "fp32") for name, path in halves.items()}
    value = Weights.read(halves[changed], 1).values[weight] + change
    evaluators[changed] = evaluators[changed].with_constants({weight: value.numpy()})
    runs = {name: by_rows(evaluator) for name, evaluator in evaluators.items()}
    drawing = Drawing(["a red heart"], [3], tiny.sampling.table(), tiny.guidance.scale)
    return tiny.text_to_image(runs).draw(drawing)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_gradient_tells_what_a_small_change_does(
    component: str, tiny: Generator, halves: dict[str, Path]
) -> None:
    torch.manual_seed(0)
    weights = Weights.read(halves[component], 512).values
    changed = {name: 2e-3 * w.std() * torch.randn_like(w) for name, w in weights.items()}
    changes: dict[str, Changes] = {c: {} for c in COMPONENTS}
    changes[component] = {n: {4: w + changed[n]} for n, w in weights.items()}
    networks = {c: Network.of(halves[c], changes[c]) for c in COMPONENTS}
    table = tiny.sampling.table()
    walk(networks, draw_chain(tiny, "a red heart", 3, table), tiny, table, seed=5)
    found = networks[component].take()
    name = max(found, key=lambda weight: abs(found[weight][4]))  # the others drown in the rounding of float32
    told, change = found[name][4], changed[name]
    signs = np.random.default_rng(5)
    more, less = (_draw(tiny, halves, component, name, sign * change) for sign in (1, -1))
    right = (signs.choice(np.array([-1, 1], np.float32), more.shape) * (more - less)).sum() / 2
    assert told == pytest.approx(float(right), rel=0.05)


def test_errors_shrink_with_the_change_and_are_told_for_all(tiny: Generator, halves: dict[str, Path]) -> None:
    changes = {}
    for name in COMPONENTS:
        weights = Weights.read(halves[name], 512).values
        changes[name] = {w: {4: value * 1.02, 6: value * 1.01, 8: value} for w, value in weights.items()}
    found = picture_errors(tiny, halves, changes, probes=2)
    assert {name: set(errors) for name, errors in found.items()} == {n: set(c) for n, c in changes.items()}
    for errors in found.values():
        assert any(error[4] > 0 for error in errors.values())
        assert all(error[8] == 0 for error in errors.values())
        assert all(error[4] == pytest.approx(4 * error[6], rel=1e-2) for error in errors.values())
