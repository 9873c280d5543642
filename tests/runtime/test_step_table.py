"""Step tables: JSON round trip of any table, and errors that name the row and the field."""

import copy
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import BundleError, FewstepError
from fewstep.samplers import compile_table
from fewstep.step_table import StepRow, StepTable

NUMBER = st.floats(-100, 100)
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((files("fewstep") / "schema" / "step_table.schema.json").read_text())
)


@st.composite
def tables(draw: st.DrawFn) -> StepTable:
    """Any valid table of at most 6 rows, also of samplers that nobody has invented."""

    def numbers(count: int) -> tuple[float, ...]:
        return tuple(draw(st.lists(NUMBER, min_size=count, max_size=count)))

    rows, kept = [], 1
    for left in range(draw(st.integers(1, 6)), 0, -1):
        after = draw(st.integers(1, 4)) if left > 1 else 1
        rows.append(
            StepRow(
                draw(NUMBER), draw(NUMBER), (draw(NUMBER), draw(NUMBER)),
                tuple((draw(NUMBER), draw(NUMBER)) for _ in range(kept)),
                tuple(numbers(kept) for _ in range(after)),
                numbers(after), numbers(after) if draw(st.booleans()) else (),
            )
        )  # fmt: skip
        kept = after
    return StepTable("made-up", "flow", draw(NUMBER), tuple(rows))


@given(tables())
def test_json_round_trip_is_the_identity(table: StepTable) -> None:
    again = StepTable.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again == table
    assert hash(again) == hash(table)


@given(tables(), tables())
def test_tables_are_equal_if_their_numbers_are(table: StepTable, other: StepTable) -> None:
    assert (table == other) == (table.to_dict() == other.to_dict())
    changed = replace(table.rows[-1], timestep=table.rows[-1].timestep + 1)
    assert replace(table, rows=(*table.rows[:-1], changed)) != table


@given(tables(), st.data())
def test_the_published_schema_takes_tables_and_refuses_wrong_fields(
    table: StepTable, data: st.DataObject
) -> None:
    value: Any = json.loads(json.dumps(table.to_dict()))
    SCHEMA.validate(value)
    row = data.draw(st.sampled_from(value["rows"]))
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(st.sampled_from(["1.0", None, True, {}]))
    assert not SCHEMA.is_valid(value)


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
    field = data.draw(st.sampled_from(sorted(row.keys() - {"noise"})))
    without = copy.deepcopy(value)
    del without["rows"][0][field]
    with pytest.raises(BundleError, match=rf"expected the field '{field}', .* in step_table\.rows\[0\]"):
        StepTable.from_dict(without)
    row["eta"] = 1.0
    with pytest.raises(BundleError, match=r"found 'eta', in step_table\.rows\[0\]"):
        StepTable.from_dict(value)


def row(kept: int = 1, after: int = 1, **changes: Any) -> StepRow:
    fields: dict[str, Any] = {
        "timestep": 1.0,
        "input_scale": 1.0,
        "data": (0.0, 1.0),
        "entry": ((0.0, 1.0),) * kept,
        "state": ((1.0,) * kept,) * after,
        "output": (0.5,) * after,
    }
    return StepRow(**(fields | changes))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "expected at least one row"),
        ((row(kept=2),), "expected 1 values, as 1 arrays are kept .* found 2, in field 'entry' of row 0"),
        ((row(after=2), row()), "expected 2 values, .* found 1, in field 'entry' of row 1"),
        ((row(), row(after=3)), "nothing but the latents is left, found 3, in field 'output' of row 1"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(rows: tuple[StepRow, ...], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        StepTable("made-up", "flow", 1.0, rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": (float("nan"),)}, "found .nan,., in field 'output'"),
        ({"state": ((float("inf"),),)}, "found .*inf.*, in field 'state'"),
        ({"output": ()}, "expected at least one value, found none, in field 'output'"),
        ({"entry": ()}, "expected at least one value, found none, in field 'entry'"),
        (
            {"state": ((1.0, 2.0),)},
            "expected 1 lines of 1 coefficients, found 2 coefficients, in field 'state'",
        ),
        ({"state": ()}, "expected 1 lines of 1 coefficients, found no coefficients, in field 'state'"),
        ({"noise": (0.1, 0.2)}, "expected 1 coefficients or none, found 2, in field 'noise'"),
    ],
)
def test_a_row_that_is_not_consistent_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        row(**changes)


def test_a_table_of_the_first_format_says_what_to_do() -> None:
    old = {"timestep": 1, "input_scale": 1, "convert": [0, 1], "latent": [1], "output": [1], "noise": 0}
    value = {"sampler": "flow-euler", "prediction": "flow", "initial_scale": 1, "rows": [old]}
    with pytest.raises(BundleError, match=r"found rows of the first format .* export the bundle again"):
        StepTable.from_dict(value)


def test_buffers_are_those_of_the_solver() -> None:
    assert compile_table("flow-euler", 8, 3.0).buffers == 1
    assert compile_table("flow-dpm++2m", 8, 3.0).buffers == 2


def test_explain_shows_every_row_with_its_coefficients() -> None:
    table = compile_table("flow-dpm++2m", 5, 3.0)
    lines = table.explain().splitlines()
    assert lines[0] == "flow-dpm++2m-5: 5 evaluations, predicts flow, keeps 2 arrays, deterministic"
    assert len(lines) == 6
    assert "x' = +1.000000 s1" in lines[3]
    assert f"s1' = {table.rows[2].state[1][0]:+.6f} x {table.rows[2].state[1][1]:+.6f} s1" in lines[3]
