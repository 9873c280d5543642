"""The benchmark on a phone, played by Chromium: from the command's address to its JSON and its page."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.apps.bench.test_server import REPORT
from tests.apps.web.app import TIMEOUT

from fewstep.bench.browser_report import BrowserReport
from fewstep.bench.config import BenchConfig
from fewstep.bench.elsewhere import elsewhere
from fewstep.bench.overview import page, row_of, rows_of
from fewstep.errors import FewstepError
from fewstep.records import from_json
from fewstep_apps.bench import command
from fewstep_apps.bench.server import Session, serve
from fewstep_apps.bench.table import table


def test_a_phone_is_measured(browser: Browser, app_bundle: Path, package: Path) -> None:
    job = command.job(BenchConfig(app_bundle, runs=3, warmup=1, threads=1), sustained=1.0)
    session = Session({**job, "backend": "wasm"})
    with serve(package, session, "127.0.0.1") as port:
        tab = browser.new_page()
        tab.goto(f"http://localhost:{port}/?bench={session.token}")
        expect(tab.locator("#bench")).to_contain_text("may be closed", timeout=TIMEOUT)
        tab.goto(f"http://localhost:{port}/?bench=wrong")
        expect(tab.locator("#bench")).to_contain_text("no longer valid", timeout=TIMEOUT)
        tab.close()
    (report,) = session.reports.values()
    assert report.build is not None and report.build.steps == 4 and report.build.backend == "wasm"
    assert report.first is not None and len(report.runs) == 3
    for run in report.runs:
        assert len(run.calls["denoiser"]) == 4 and len(run.calls["decoder"]) == 1
        assert sum(map(sum, run.calls.values())) <= run.ms
    assert report.sustained[-1][0] >= 1.0
    assert row_of(report, "x").engine == "wasm, 1 thread"


def test_the_command_prints_an_address_and_writes_what_a_phone_said(
    browser: Browser, app_bundle: Path, tmp_path: Path
) -> None:
    json_file, html_file = tmp_path / "phones.json", tmp_path / "phones.html"
    short = "command.SUSTAINED = 0.5; command._PATIENCE = 0.5"
    program = f"from fewstep_apps.bench import command; {short}\nfrom fewstep.__main__ import main; main()"
    words = ["-c", program]
    words += ["bench", str(app_bundle), "--device", "web", "--runs", "1", "--warmup", "0"]
    words += ["--variant", "int8", "--json", str(json_file), "--html", str(html_file)]
    with subprocess.Popen(
        [sys.executable, *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"http://[\d.]+(:\d+/\?bench=\S+)", said)) is None:
            line = process.stderr.readline()
            assert line, said
            said += line
        tab = browser.new_page()
        tab.goto(f"http://localhost{found[1]}")
        expect(tab.locator("#bench")).to_contain_text("may be closed", timeout=TIMEOUT)
        tab.close()
        rest = process.stderr.read()
        assert process.wait(timeout=90) == 0
    assert "\u2580" in said or "\u2584" in said or "\u2588" in said, "no QR code"
    assert "adb reverse" in said + rest and "device-1" in rest
    (row,) = rows_of(json.loads(json_file.read_text()), "phones.json", "phones")
    assert row.build == "int8" and row.device.endswith("(Chrome, Linux)")
    assert "device-1" in html_file.read_text()


def test_what_the_page_does_not_do_is_refused(app_bundle: Path) -> None:
    with pytest.raises(FewstepError, match="expected no --steps with --device web"):
        command.job(BenchConfig(app_bundle, steps=2), 1.0)


def test_names_of_devices_are_found_and_others_left_to_ssh() -> None:
    assert elsewhere("web") is command.bench_web
    assert elsewhere("ssh://board") is None and elsewhere(None) is None and elsewhere("mars") is None


def test_one_page_shows_browsers_and_other_devices(tmp_path: Path) -> None:
    report = from_json(BrowserReport, REPORT, "report")
    slow = [(float(i), 100.0 if i < 8 else 150.0) for i in range(16)]
    hot = replace(report, sustained=tuple(slow))
    assert hot.throttling == 1.5 and report.throttling is None
    results = Path(__file__).parents[3] / "benchmarks" / "results" / "bench-emoji-128.json"
    rows = [row_of(hot, "phones"), *rows_of(json.loads(results.read_text()), str(results), "desk")]
    html = page(rows)
    assert "AMD EPYC" in html and "int8" in html and html.count("<polyline") == 1
    assert table([report]).row_count == 1
    with pytest.raises(FewstepError, match="expected a report of fewstep bench, found the format None"):
        rows_of({}, "x.json", "x")
