"""The report of a real benchmark."""

import json
from pathlib import Path

import pytest

from fewstep.bench.latency import Latency
from fewstep.bench.report import Report
from fewstep.bench.runner import Benchmark
from fewstep.errors import BundleError


def test_every_variant_and_every_graph_has_its_figures(
    benchmark_of_tiny: Benchmark, tiny_bundle: Path
) -> None:
    report = benchmark_of_tiny.report
    assert [v.name for v in report.variants] == ["fp32", "fp32-ort"]
    for v in report.variants:
        graphs = [(c.component, c.batch) for c in v.components]
        assert graphs == [("text_encoder", 1), ("denoiser", 1), ("denoiser", 2), ("decoder", 1)]
        for _, latency in v.latencies:
            assert len(latency.samples) == report.settings.runs
            assert min(latency.samples) <= latency.median <= latency.p90 <= max(latency.samples)
            assert latency == Latency.of(latency.first, latency.samples)
        assert v.generation.first == v.cold.first_picture
        assert 0 < v.host_share < 1
        assert sum(v.shares.values()) == pytest.approx(1)
        folder = tiny_bundle / "ort" / v.name
        assert v.size == sum(file.stat().st_size for file in folder.iterdir())
    on_disk = sum(file.stat().st_size for file in tiny_bundle.rglob("*") if file.is_file())
    assert report.bundle_bytes == on_disk - (tiny_bundle / "manifest.json").stat().st_size


def test_json_gives_the_same_report_back(benchmark_of_tiny: Benchmark) -> None:
    value = json.loads(json.dumps(benchmark_of_tiny.report.to_dict()))
    assert Report.from_dict(value) == benchmark_of_tiny.report
    del value["variants"][0]["generation"]["p90"]
    with pytest.raises(BundleError, match=r"'p90'.*report\.variants\[0\]\.generation"):
        Report.from_dict(value)
