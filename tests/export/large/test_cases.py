from pathlib import Path

import numpy as np
import pytest

from fewstep_export.fixed_inputs import Case
from fewstep_export.large import cases


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Case]:
    """A folder of cases with a batch of 2, and the case."""
    pair = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    where = {"text_states": pair[..., :1] > 2}
    case = Case({"latents": pair, "timestep": pair[:, 0, 0]}, {"text_states": pair + 1}, where)
    folder = tmp_path / "cases"
    folder.mkdir()
    cases.save_cases(folder, [case])
    return folder, case


def test_cases_come_back(stored: tuple[Path, Case], tmp_path: Path) -> None:
    (found,) = cases.graph_cases(stored[0], tmp_path / "small.onnx")
    _require_equal(found, stored[1])


def test_a_large_graph_gets_one_picture_at_a_time(
    stored: tuple[Path, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "PAIRS_UP_TO", 5)
    graph = tmp_path / "large.onnx"
    (tmp_path / "large.onnx.data").write_bytes(b"weight")
    rows = cases.graph_cases(stored[0], graph)
    assert [len(array) for row in rows for array in row.feeds.values()] == [1, 1, 1, 1]
    joined = Case(
        *(
            {
                name: np.concatenate([getattr(row, group)[name] for row in rows])
                for name in getattr(rows[0], group)
            }
            for group in ("feeds", "expected", "where")
        )
    )
    _require_equal(joined, stored[1])


def _require_equal(found: Case, expected: Case) -> None:
    for group in ("feeds", "expected", "where"):
        arrays, others = getattr(found, group), getattr(expected, group)
        assert arrays.keys() == others.keys()
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], others[name])
