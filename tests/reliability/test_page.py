"""docs/reliability.md says what results/reliability.json says."""

import sys
from pathlib import Path

import pytest
from tests.scripts import load_script

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reliability"


def test_the_tables_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    page = load_script(FOLDER / "page.py")
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(text) == text, "run python benchmarks/reliability/page.py"
