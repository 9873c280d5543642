"""docs/export-at-scale.md quotes the measured results and no others, and they keep what the page promises."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.scripts import load_script

ROOT = Path(__file__).parents[3]
NAMES = ("export_at_scale", "export_at_scale_command", "export_at_scale_packages")


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """benchmarks/export_at_scale_page.py."""
    return load_script(ROOT / "benchmarks/export_at_scale_page.py")


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_are_those_of_the_results(page: ModuleType, name: str) -> None:
    rows = json.loads(page.RESULTS[name].read_text())["rows"]
    text = page.PAGE.read_text()
    assert text == page.page_with(text, name, rows)
    assert page.TABLES[name](rows) in text


def test_forecasts_bound_the_peaks_and_peaks_stay_below_1_6_times_the_weights(page: ModuleType) -> None:
    by_tool = json.loads(page.RESULTS["export_at_scale"].read_text())["rows"]
    ours = [
        (row["peak_bytes"], row["forecast_bytes"], row["weight_bytes"])
        for row in by_tool
        if row["tool"] == "fewstep"
    ]
    by_command = json.loads(page.RESULTS["export_at_scale_command"].read_text())["rows"]
    ours += [
        (row["peak_gb"], row["forecast_gb"], row["forecasts_gb"]["denoiser"]["weights"]) for row in by_command
    ]
    assert len(ours) >= 3
    for peak, forecast, weights in ours:
        assert peak <= forecast <= 1.15 * peak
        assert peak <= 1.6 * weights
