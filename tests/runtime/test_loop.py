"""The loop against the formula of the step table, for random tables, in float64 and without buffers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fewstep.loop import Array, run
from fewstep.noise import gaussian
from fewstep.samplers import compile_table
from fewstep.step_table import StepRow, StepTable

SHAPE = (1, 2, 3, 3)


def noise(stream: int) -> Array:
    return gaussian(SHAPE, 5, stream)


def model(x: Array, timestep: float) -> Array:
    output: Array = np.tanh(x[..., ::-1] + np.float32(timestep))
    return output


def reference(table: StepTable) -> list[np.ndarray]:
    """x_1, x_2, ... with the whole history kept."""
    xs = [noise(0).astype(np.float64) * table.initial_scale]
    ds: list[np.ndarray] = []
    for i, row in enumerate(table.rows):
        m = np.tanh((row.input_scale * xs[i])[..., ::-1] + row.timestep)
        ds.append(row.convert[0] * xs[i] + row.convert[1] * m)
        x = row.noise * noise(i + 1).astype(np.float64)
        x += sum((c * xs[i - j] for j, c in enumerate(row.latent)), np.zeros(SHAPE))
        x += sum((c * ds[i - j] for j, c in enumerate(row.output)), np.zeros(SHAPE))
        xs.append(x)
    return xs[1:]


@st.composite
def tables(draw: st.DrawFn) -> StepTable:
    number = st.floats(-1, 1, width=32)
    rows = []
    for i in range(draw(st.integers(1, 6))):
        latent = draw(st.lists(number, max_size=i + 1))
        output = draw(st.lists(number, min_size=1, max_size=i + 1))
        rows.append(
            StepRow(
                draw(number),
                draw(number),
                (draw(number), draw(number)),
                tuple(latent),
                tuple(output),
                draw(number),
            )
        )
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

    quiet, loud = StepRow(1, 1, (0, 1), (1,), (1,), 0.0), StepRow(1, 1, (0, 1), (1,), (1,), 0.5)
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
