"""Reports held against each other."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fewstep.bench.compare import compare, different
from fewstep.bench.latency import Latency
from fewstep.bench.report import Report
from fewstep.bench.runner import Benchmark
from fewstep.errors import FewstepError

Command = Callable[..., CompletedProcess[str]]


def twice_as_fast(report: Report) -> Report:
    """The same with half the time for a picture, of the variant fp32 alone."""
    fp32 = next(v for v in report.variants if v.name == "fp32")
    halved = Latency.of(fp32.generation.first, [s / 2 for s in fp32.generation.samples])
    return replace(report, variants=(replace(fp32, generation=halved),))


def test_ratios_are_of_medians_and_of_common_variants(benchmark_of_tiny: Benchmark) -> None:
    report = benchmark_of_tiny.report
    rows = compare({"a": report, "b": twice_as_fast(report)})
    assert {row.variant for row in rows} == {"fp32"}
    ratios = {row.what: row.ratios for row in rows}
    assert ratios.pop("prompt to picture") == pytest.approx((1.0, 2.0))
    assert set(ratios.values()) == {(1.0, 1.0)}
    assert {"decoder, batch 1", "peak memory", "size on disk"} <= ratios.keys()


def test_what_else_differs_is_told(benchmark_of_tiny: Benchmark) -> None:
    report = benchmark_of_tiny.report
    assert different({"a": report, "b": report}) == ()
    other = replace(report, bundle="other", settings=replace(report.settings, threads=7))
    assert different({"a": report, "b": other}) == (
        "b is of another bundle, other",
        "b has threads 7 instead of 1",
    )


def test_reports_without_a_common_variant_are_refused(benchmark_of_tiny: Benchmark) -> None:
    report = benchmark_of_tiny.report
    renamed = replace(report, variants=(replace(report.variants[0], name="int8"),))
    with pytest.raises(
        FewstepError, match="expected a variant that all reports have, found fp32, fp32-ort; int8"
    ):
        compare({"a": report, "b": renamed})


def test_the_command_prints_and_writes(
    benchmark_of_tiny: Benchmark, tmp_path: Path, fewstep_command: Command
) -> None:
    a, b = tmp_path / "desk.json", tmp_path / "board.json"
    a.write_text(json.dumps(benchmark_of_tiny.report.to_dict()))
    b.write_text(json.dumps(twice_as_fast(benchmark_of_tiny.report).to_dict()))
    done = fewstep_command("bench", "--compare", a, b, "--json", "-", "--html", tmp_path / "x.html")
    assert done.returncode == 0, done.stderr
    assert "2.00x" in done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert rows[0]["ratios"] == [1.0, pytest.approx(2.0)]
    assert "(2.00x)" in (tmp_path / "x.html").read_text()
    done = fewstep_command("bench", "--compare", a)
    assert (done.returncode, "expected two or more reports" in done.stderr) == (2, True)
    done = fewstep_command("bench", a, b)
    assert (done.returncode, "expected one bundle, found 2" in done.stderr) == (2, True)
