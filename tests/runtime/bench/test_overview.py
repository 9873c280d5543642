"""`fewstep bench --report`: one page of devices and builds."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fewstep.bench.overview import browser_name, rows_of
from fewstep.cli import build_app
from fewstep.errors import BundleError, FewstepError
from fewstep.strict_json import load_json

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_page_shows_every_build_of_every_file(tmp_path: Path) -> None:
    files = [RESULTS / "bench-emoji-128.json", RESULTS / "int8-emoji-128.json"]
    output = tmp_path / "devices.html"
    words = ["bench", "--report", "--html", str(output), *map(str, files)]
    assert CliRunner().invoke(build_app(), words, catch_exceptions=False).exit_code == 0
    page = output.read_text(encoding="utf-8")
    rows = [row for file in files for row in rows_of(load_json(file), str(file), file.stem)]
    assert {row.build for row in rows} >= {"fp32", "int8", "int8-dynamic"}
    assert page.count("<tr>") == 1 + len(rows)
    assert all(row.build in page and row.source in page for row in rows)
    assert "<script" not in page and "src=" not in page


def test_browsers_that_are_not_done_are_left_out() -> None:
    failed = {
        "format": "fewstep-web-bench",
        "version": 1,
        "device": "device-1",
        "state": "failed",
        "error": "no memory",
        "date": "2026-11-24",
        "browser": {},
        "build": None,
        "first": None,
        "runs": [],
        "sustained": [],
        "battery": None,
        "memory_bytes": None,
    }
    value = {"format": "fewstep-web-bench-results", "version": 1, "reports": [failed]}
    assert rows_of(value, "x.json", "x") == []
    with pytest.raises(BundleError, match=r"x\.json\.reports\[0\]\.build"):
        rows_of(json.loads(json.dumps(value).replace('"build": null', '"build": 3')), "x.json", "x")


def test_without_a_page_to_write_it_is_refused() -> None:
    with pytest.raises(FewstepError, match="expected --html FILE with --report"):
        CliRunner().invoke(build_app(), ["bench", "--report", "x.json"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/150.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile Safari/604.1", "Safari, iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150.0", "Edge, Windows"),
        ("", "a browser, an unknown system"),
    ],
)  # fmt: skip
def test_browsers_are_named(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
