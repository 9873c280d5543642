import json
import sys
from pathlib import Path

import pytest

from fewstep.bench.config import BenchConfig
from fewstep.bench.contenders import contenders
from fewstep.bench.report import Report
from fewstep.bench.runner import bench
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError


def names(bundle: Path, engine: str | None) -> list[str]:
    return [c.name for c in contenders(Bundle.open(bundle).manifest.variants, engine)]


def test_all_engines_are_the_variants_own_and_openvino_for_onnx_graphs(tiny_bundle: Path) -> None:
    assert names(tiny_bundle, None) == ["fp32", "fp32-ort"]
    assert names(tiny_bundle, "all") == ["fp32", "fp32@openvino", "fp32-ort"]
    with pytest.raises(FewstepError, match="for the ort graphs of variant 'fp32-ort'"):
        names(tiny_bundle, "openvino")
    with pytest.raises(
        FewstepError, match="expected the engine onnxruntime, openvino, tensorrt or all, found 'tpu'"
    ):
        BenchConfig(tiny_bundle, engine="tpu")


def test_the_fastest_of_all_engines_is_told(tiny_bundle: Path) -> None:
    pytest.importorskip("openvino", reason="the extra [openvino]")
    config = BenchConfig(tiny_bundle, ("fp32",), threads=1, runs=1, warmup=0, compare=True, engine="all")
    report = bench(config).report
    assert [(v.name, v.engine) for v in report.variants] == [
        ("fp32", "onnxruntime"),
        ("fp32@openvino", "openvino"),
    ]
    fastest = min(report.variants, key=lambda v: v.generation.median)
    assert report.fastest == fastest.name
    assert report.speedup.keys() == {"fp32@openvino_over_fp32"}
    assert "--engine all" in report.command
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_an_engine_that_is_not_installed_is_left_out_with_the_reason(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "openvino", None
    )  # how Python itself marks a module that must not be found
    monkeypatch.setattr("fewstep.bench.contenders.find_spec", lambda _name: None)
    report = bench(BenchConfig(tiny_bundle, ("fp32",), threads=1, runs=1, warmup=0, engine="all")).report
    assert [v.name for v in report.variants] == ["fp32"]
    assert "install fewstep with the extra [openvino]" in report.skipped["fp32@openvino"]
    with pytest.raises(FewstepError, match=r"extra \[openvino\]"):
        bench(BenchConfig(tiny_bundle, ("fp32",), runs=1, warmup=0, engine="openvino"))
