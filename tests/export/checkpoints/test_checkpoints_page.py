"""docs/checkpoints.md quotes the measured results and no others, and every family is there."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.scripts import load_script

ROOT = Path(__file__).parents[3]


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/checkpoint_matrix.py."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return load_script(ROOT / "benchmarks/checkpoint_matrix.py")


def test_the_table_is_that_of_the_results(matrix: ModuleType) -> None:
    cases = json.loads(matrix.RESULT.read_text())["cases"]
    page = matrix.PAGE.read_text()
    assert page == matrix.page_with(page, matrix.table(cases))
    assert matrix.table(cases) in page


def test_every_family_was_measured_and_draws_what_its_pipeline_draws(
    matrix: ModuleType, tiny_pipelines: ModuleType
) -> None:
    cases = json.loads(matrix.RESULT.read_text())["cases"]
    assert list(cases) == list(tiny_pipelines.CASES)
    for case in cases.values():
        for variant in ("fp32", "fp32-ort"):
            assert case["variants"][variant]["psnr_db"]["pictures_pipeline"] >= 40
            assert max(case["variants"][variant]["relative_error"].values()) <= 1e-4
