"""Engines that a benchmark builds where it measures; they are built for real, and not run, as there is no GPU."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fewstep.bench.built_here import with_tensorrt
from fewstep.bench.config import BenchConfig
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")


@pytest.fixture
def half_bundle(bundle_copy: Path) -> Path:
    """The tiny bundle with its graphs under the name of FP16."""
    file = bundle_copy / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["variants"][0]["precision"] = "fp16"
    file.write_text(json.dumps(manifest))
    return bundle_copy


def test_the_engines_take_the_place_of_the_variants(
    half_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewstep.bench.built_here.Cuda", lambda: SimpleNamespace(compute_capability="8.6"))
    config = BenchConfig(half_bundle, runs=3, engine="tensorrt")
    measured = with_tensorrt(config, tmp_path / "cache")
    assert (measured.runs, measured.variants, measured.engine) == (3, (), None)
    assert [v.name for v in Bundle.open(measured.bundle).manifest.variants] == ["tensorrt-fp16"]
    assert config.options()[-2:] == ["--engine", "tensorrt"]
    with pytest.raises(
        FewstepError, match="expected at most one variant for the engine tensorrt, found a, b"
    ):
        with_tensorrt(BenchConfig(half_bundle, ("a", "b"), engine="tensorrt"))


def test_without_a_gpu_the_command_says_so(
    half_bundle: Path, fewstep_command: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = fewstep_command("bench", half_bundle, "--engine", "tensorrt")
    if done.returncode:  # a GPU would measure
        assert done.returncode == 2
        assert "CUDA" in done.stderr or "GPU" in done.stderr
