"""Palettes: how many values, against k-means without the inputs, and against every choice of indices."""

from itertools import product

import pytest
import torch

from fewstep_export.coreml.calibration import shrunk
from fewstep_export.coreml.palettes import PaletteForm, _kmeans, _lloyd, _nearest, _start, error, fit

torch.manual_seed(0)
MIXED = torch.randn(400, 24) @ torch.randn(24, 24) * torch.rand(24)
HESSIAN = MIXED.T @ MIXED
WEIGHT = torch.randn(16, 24)


@pytest.mark.parametrize("form", [PaletteForm(2), PaletteForm(3, 4), PaletteForm(4, 8)])
def test_rows_share_palettes_of_values_that_fp16_holds(form: PaletteForm) -> None:
    stored = fit(WEIGHT, form, HESSIAN)
    assert torch.equal(stored, stored.half().float())
    for rows in stored.split(form.channels or len(WEIGHT)):
        assert len(rows.unique()) <= 2**form.bits


def test_feedback_halves_the_error_at_the_outputs() -> None:
    form = PaletteForm(3, 4)
    assert error(WEIGHT, fit(WEIGHT, form, HESSIAN), HESSIAN) < 0.5 * error(
        WEIGHT, fit(WEIGHT, form), HESSIAN
    )


def test_more_bits_are_better() -> None:
    errors = [error(WEIGHT, fit(WEIGHT, PaletteForm(bits), HESSIAN), HESSIAN) for bits in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3 * errors[0]


def test_independent_inputs_take_the_nearest_value() -> None:
    stored = fit(WEIGHT, PaletteForm(3))
    palette = stored.unique()
    assert torch.equal(stored, palette[(WEIGHT[..., None] - palette).abs().argmin(-1)])


@pytest.mark.parametrize(("bits", "best"), [(3, 3.454e-2), (4, 9.497e-3), (6, 6.64e-4), (8, 4.15e-5)])
def test_palettes_of_normal_values_are_near_the_best_ones(bits: int, best: float) -> None:
    """Lloyd-Max quantisers: 3 and 4 bits from Max 1960, table I; 6 and 8 by Panter and Dite's sqrt(3) pi / 2 / 4^bits."""
    values = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(0))
    stored = _nearest(values, _kmeans(values, torch.ones(50_000), 2**bits))
    assert float((stored - values).square().mean()) < 1.1 * best


def test_values_that_are_few_are_kept() -> None:
    values = torch.tensor([[-1.0, 0.0, 0.5, 8.0]]).repeat(1, 40)
    assert torch.equal(_nearest(values, _kmeans(values, torch.ones(160), 16)), values)


def test_feedback_is_near_the_best_choice_of_indices() -> None:
    weight, inputs = torch.randn(1, 6), torch.randn(30, 6) @ torch.randn(6, 6)
    hessian = inputs.T @ inputs
    stored = fit(weight, PaletteForm(1), hessian)
    palette = stored.unique().tolist()
    best = min(error(weight, torch.tensor([choice]), hessian) for choice in product(palette, repeat=6))
    assert error(weight, stored, hessian) <= 1.5 * best


def test_values_that_repeat_are_merged_without_a_change() -> None:
    values, importance = torch.randn(2, 500).half().float().repeat(1, 140), torch.rand(70_000)
    found = _kmeans(values, importance, 16)  # longer than FP16 has values
    start = _start(values, 16)
    right = _lloyd(values.double(), importance.double().expand(2, -1), start.double())
    torch.testing.assert_close(found.double(), right, atol=1e-4, rtol=0)


def test_a_few_rows_do_not_make_other_inputs_worse() -> None:
    weight, mix = torch.randn(24, 64), torch.randn(64, 64)
    seen, others = (torch.randn(count, 64) @ mix for count in (12, 4000))
    raw, held_out, form = seen.T @ seen, others.T @ others, PaletteForm(4)
    shrunken, overfitted, plain = (
        error(weight, fit(weight, form, h), held_out) for h in (shrunk(raw, len(seen)), raw, None)
    )
    assert shrunken <= 1.1 * plain < overfitted


def test_many_rows_are_hardly_drawn_away() -> None:
    torch.testing.assert_close(shrunk(HESSIAN, 10**6), HESSIAN, rtol=1e-3, atol=1e-1)
