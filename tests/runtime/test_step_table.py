"""Step tables: JSON round trip of any table, and errors that name the row and the field."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import BundleError, FewstepError
from fewstep.samplers import compile_table
from fewstep.step_table import StepRow, StepTable

NUMBER = st.floats(-100, 100)


@st.composite
def tables(draw: st.DrawFn) -> StepTable:
    """Any valid table of at most 6 rows, also of samplers that nobody has invented."""

    def coefficients(least: int, most: int) -> tuple[float, ...]:
        return tuple(draw(st.lists(NUMBER, min_size=least, max_size=most)))

    rows = [
        StepRow(
            draw(NUMBER), draw(NUMBER), (draw(NUMBER), draw(NUMBER)),
            coefficients(0, i + 1), coefficients(1, i + 1), draw(NUMBER),
        )
        for i in range(draw(st.integers(1, 6)))
    ]  # fmt: skip
    return StepTable("made-up", "flow", draw(NUMBER), tuple(rows))


@given(tables())
def test_json_round_trip_is_the_identity(table: StepTable) -> None:
    assert StepTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table


@given(tables(), st.data())
def test_a_wrong_field_is_named_with_its_row(table: StepTable, data: st.DataObject) -> None:
    value: Any = json.loads(json.dumps(table.to_dict()))
    i = data.draw(st.integers(0, len(table.rows) - 1))
    field = data.draw(st.sampled_from(sorted(value["rows"][i])))
    value["rows"][i][field] = data.draw(
        st.sampled_from(["1.0", None, True, {}, float("nan"), float("inf"), 10**400])
    )
    with pytest.raises(BundleError, match=rf"in step_table\.rows\[{i}\]\.{field}"):
        StepTable.from_dict(value)


@given(tables(), st.data())
def test_a_missing_and_an_unknown_field_are_named(table: StepTable, data: st.DataObject) -> None:
    value: Any = json.loads(json.dumps(table.to_dict()))
    row = value["rows"][0]
    field = data.draw(st.sampled_from(sorted(row)))
    without = copy.deepcopy(value)
    del without["rows"][0][field]
    with pytest.raises(BundleError, match=rf"expected the field '{field}', .* in step_table\.rows\[0\]"):
        StepTable.from_dict(without)
    row["eta"] = 1.0
    with pytest.raises(BundleError, match=r"found 'eta', in step_table\.rows\[0\]"):
        StepTable.from_dict(value)


def test_a_row_may_use_only_values_that_exist() -> None:
    row = StepRow(1.0, 1.0, (0.0, 1.0), (1.0,), (0.5, 0.5), 0.0)
    with pytest.raises(FewstepError, match=r"expected at most 1 coefficients.* in field 'output' of row 0"):
        StepTable("made-up", "flow", 1.0, (row,))


def test_no_rows_and_non_finite_numbers_are_refused() -> None:
    with pytest.raises(FewstepError, match="expected at least one row"):
        StepTable("made-up", "flow", 1.0, ())
    with pytest.raises(FewstepError, match="found nan, in field 'noise'"):
        StepRow(1.0, 1.0, (0.0, 1.0), (1.0,), (1.0,), float("nan"))


def test_buffers_are_those_of_the_solver() -> None:
    euler, multistep = compile_table("flow-euler", 8, 3.0), compile_table("flow-dpm++2m", 8, 3.0)
    assert (euler.buffers, euler.latent_buffers, euler.output_buffers) == (1, 1, 1)
    assert (multistep.buffers, multistep.latent_buffers, multistep.output_buffers) == (2, 1, 2)


def test_explain_shows_every_row_with_its_coefficients() -> None:
    table = compile_table("flow-dpm++2m", 4, 3.0)
    lines = table.explain().splitlines()
    assert lines[0].startswith("flow-dpm++2m-4: 4 evaluations, predicts flow, keeps 2 arrays")
    assert len(lines) == 5
    assert f"{table.rows[2].output[1]:+.6f} D[-1]" in lines[3]
