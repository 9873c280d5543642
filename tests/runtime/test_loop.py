"""The loop against the formula of the step table, for random tables, in float64 and without buffers."""

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import FewstepError
from fewstep.loop import Array, Edit, run, with_preview
from fewstep.noise import gaussian
from fewstep.samplers import compile_table, from_diffusers
from fewstep.step_table import StepRow, StepTable

SHAPE = (1, 2, 3, 3)


def noise(stream: int) -> Array:
    return gaussian(SHAPE, 5, stream)


def model(x: Array, timestep: float) -> Array:
    output: Array = np.tanh(x[..., ::-1] + np.float32(timestep))
    return output


def reference(table: StepTable) -> list[np.ndarray]:
    """x_1, x_2, ... in float64, straight from the formula of a row."""
    state = [noise(0).astype(np.float64) * table.initial_scale]
    xs = []
    for i, row in enumerate(table.rows):
        m = np.tanh((row.input_scale * state[0])[..., ::-1] + row.timestep)
        drawn = row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + n * noise(i + 1))
            for line, b, n in zip(row.state, row.output, drawn, strict=True)
        ]
        xs.append(state[0])
    return xs


@st.composite
def tables(draw: st.DrawFn) -> StepTable:
    number = st.one_of(st.floats(-1, 1, width=32), st.sampled_from([0.0, 1.0]))

    def numbers(count: int) -> tuple[float, ...]:
        return tuple(draw(st.lists(number, min_size=count, max_size=count)))

    rows, kept = [], 1
    for left in range(draw(st.integers(1, 6)), 0, -1):
        after = draw(st.integers(1, 4)) if left > 1 else 1
        rows.append(
            StepRow(
                timestep=draw(number),
                input_scale=draw(number),
                data=(0.0, 1.0),
                entry=((0.5, 0.5),) * kept,
                state=tuple(numbers(kept) for _ in range(after)),
                output=numbers(after),
                noise=numbers(after) if draw(st.booleans()) else (),
            )
        )
        kept = after
    return StepTable("made-up", "flow", draw(number), tuple(rows))


@given(tables())
def test_the_loop_does_what_the_table_says(table: StepTable) -> None:
    found = [(i, x.copy()) for i, x in run(table, noise, model)]
    assert [i for i, _ in found] == list(range(len(table.rows)))
    for (_, x), expected in zip(found, reference(table), strict=True):
        assert x.dtype == np.float32
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(x, expected, rtol=0, atol=2e-4 * scale)


def test_the_initial_noise_is_left_as_it_was() -> None:
    initial = noise(0)
    for _ in run(compile_table("flow-dpm++2m", 3, 1.0), lambda _stream: initial, model):
        pass
    np.testing.assert_array_equal(initial, noise(0))


def test_noise_is_made_only_for_rows_that_use_it() -> None:
    asked: list[int] = []

    def counted(stream: int) -> Array:
        asked.append(stream)
        return noise(stream)

    quiet = StepRow(1, 1, (0, 1), ((0, 1),), ((1,),), (1,))
    loud = replace(quiet, noise=(0.5,))
    for _ in run(StepTable("made-up", "flow", 1.0, (quiet, loud, quiet)), counted, model):
        pass
    assert asked == [0, 2]


def test_the_caller_may_stop_early() -> None:
    calls: list[float] = []

    def counting(x: Array, timestep: float) -> Array:
        calls.append(timestep)
        return x

    for i, _ in run(compile_table("flow-euler", 10, 1.0), noise, counting):
        if i == 2:
            break
    assert len(calls) == 3


def test_run_gives_the_last_latents_and_draws_from_the_seed() -> None:
    table = from_diffusers({"_class_name": "FlowMatchLCMScheduler", "shift": 3.0}, 4)
    expected = [x.copy() for _, x in run(table, noise, model)][-1]
    np.testing.assert_array_equal(table.run(model, noise(0), seed=5), expected)
    assert not np.array_equal(table.run(model, noise(0), seed=6), expected)


IMAGE = gaussian(SHAPE, 9)
SOLVERS = [
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    ("DPMSolverMultistepScheduler", {"beta_schedule": "scaled_linear", "solver_order": 3}),
    ("DPMSolverMultistepScheduler", {"beta_schedule": "scaled_linear", "algorithm_type": "sde-dpmsolver++"}),
    ("HeunDiscreteScheduler", {}),
    ("UniPCMultistepScheduler", {"prediction_type": "v_prediction"}),
    ("PNDMScheduler", {"skip_prk_steps": True}),
    ("DDPMScheduler", {"clip_sample": False}),
]


def knowing(rows: Sequence[StepRow], image: Array) -> Callable[[Array, float], Array]:
    """A network that always finds the image: its output makes D = a x + b m the image."""
    left = iter(rows)

    def network(x: Array, _timestep: float) -> Array:
        row = next(left)
        a, b = row.data
        return ((image - a * x.astype(np.float64) / row.input_scale) / b).astype(np.float32)

    return network


@pytest.mark.parametrize(("name", "config"), SOLVERS)
@pytest.mark.parametrize("edited", [False, True])
def test_nothing_of_the_size_of_a_latent_is_allocated_in_a_step(
    name: str, config: dict[str, object], edited: bool
) -> None:
    table, shape = from_diffusers({"_class_name": name, **config}, 12), (1, 4, 64, 64)
    ready = [gaussian(shape, seed) for seed in range(3)]
    edit = Edit(ready[1], 1.0, np.ones(shape, np.float32)) if edited else None
    steps = run(table, lambda _stream: ready[0], lambda _x, _t: ready[2], edit)
    next(steps)
    tracemalloc.start()
    try:
        for _ in steps:
            pass
        assert tracemalloc.get_traced_memory()[1] < ready[0].nbytes / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "config"), SOLVERS)
@pytest.mark.parametrize("edit", [None, Edit(IMAGE, 0.5)])
def test_a_preview_shows_what_the_network_takes_the_picture_for(
    name: str, config: dict[str, object], edit: Edit | None
) -> None:
    table, seen = from_diffusers({"_class_name": name, **config}, 6), dict[int, Array]()
    first = 0 if edit is None else edit.first_row(table)
    network = knowing(table.rows[first:], IMAGE)
    watched = with_preview(table, network, lambda i, data: seen.update({i: data.copy()}), edit)
    *_, (_, last) = run(table, noise, watched, edit)
    *_, (_, plain) = run(table, noise, knowing(table.rows[first:], IMAGE), edit)
    np.testing.assert_array_equal(last, plain)
    assert list(seen) == list(range(first, len(table.rows)))
    for data in seen.values():
        np.testing.assert_allclose(data, IMAGE, atol=1e-4)


@pytest.mark.parametrize(("name", "config"), SOLVERS)
@pytest.mark.parametrize("strength", [0.3, 0.61, 1.0])
def test_a_run_from_a_picture_whose_network_knows_it_ends_at_it(
    name: str, config: dict[str, object], strength: float
) -> None:
    table = from_diffusers({"_class_name": name, **config}, 10)
    edit = Edit(IMAGE, strength)
    *_, (_, last) = run(table, noise, knowing(table.rows[edit.first_row(table) :], IMAGE), edit)
    end = 0.05 if name in ("PNDMScheduler",) else 2e-3  # PNDM ends at the noise level of timestep 0
    assert float(np.abs(last - IMAGE).max()) < 4 * end


def test_levels_of_the_rows_are_those_of_the_schedule() -> None:
    table = from_diffusers({"_class_name": "DDPMScheduler", "clip_sample": False}, 20)
    squares = [u**2 + v**2 for ((u, v),) in (row.entry for row in table.rows)]
    np.testing.assert_allclose(squares, 1.0, rtol=1e-12)


def test_a_strength_runs_that_part_of_the_rows() -> None:
    table = compile_table("flow-dpm++2m", 10, 3.0)
    for strength, rows in ((1.0, 10), (0.5, 5), (0.31, 3), (0.01, 1)):
        assert len(list(run(table, noise, model, Edit(IMAGE, strength)))) == rows
    for strength in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(FewstepError, match="expected a strength above 0 and at most 1"):
            Edit(IMAGE, strength)


@pytest.mark.parametrize(("name", "config"), SOLVERS)
def test_inpainting_keeps_the_picture_where_the_mask_is_0(name: str, config: dict[str, object]) -> None:
    table = from_diffusers({"_class_name": name, **config}, 8)
    mask = np.zeros(SHAPE, np.float32)
    mask[..., :2] = 1
    *_, (_, last) = run(table, noise, model, Edit(IMAGE, 1.0, mask))
    np.testing.assert_array_equal(last[..., 2:], IMAGE[..., 2:])
    assert not np.array_equal(last[..., :2], IMAGE[..., :2])


def test_with_a_mask_of_1_everything_is_drawn() -> None:
    table = compile_table("flow-dpm++2m", 6, 3.0)
    ones = np.ones(SHAPE, np.float32)
    *_, (_, masked) = run(table, noise, model, Edit(IMAGE, 0.7, ones))
    *_, (_, plain) = run(table, noise, model, Edit(IMAGE, 0.7))
    np.testing.assert_allclose(masked, plain, atol=1e-5)
