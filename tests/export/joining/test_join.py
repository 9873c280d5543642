"""Packages of two bundles in one folder, by the command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.exporter import export_generator
from fewstep_export.package_config import ConvertConfig

pytestmark = pytest.mark.slow  # two exports to Core ML


@pytest.fixture(scope="module")
def bundles(tiny: Generator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of the same networks with FP16 inside, and outside too, which are two programs of the same weights."""
    folder, made = tmp_path_factory.mktemp("joining"), {}
    for name, half_io in (("base", False), ("lean", True)):
        config = ExportConfig(
            "tiny",
            folder / f"{name}.fewstep",
            ("coreml",),
            ("fp16",),
            packages=ConvertConfig("iOS18", half_io=half_io),
        )
        made[name] = export_generator(tiny, config)
    return made


def _run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fewstep", "join", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_functions_of_two_bundles_share_their_weights(bundles: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "joined"
    result = _run(*(f"{name}={path}" for name, path in bundles.items()), "-o", output, "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["packages"]
    assert {path.stem for path in output.iterdir()} == rows.keys() == {"text_encoder", "denoiser", "decoder"}
    assert all(row["functions"] == ["base", "lean"] for row in rows.values())
    weights = [file.stat().st_size for file in (output / "denoiser.mlpackage").rglob("weight.bin")]
    alone = [
        file.stat().st_size
        for file in (bundles["base"] / "coreml/fp16/denoiser.mlpackage").rglob("weight.bin")
    ]
    assert sum(weights) < 1.1 * sum(alone)
    feeds = {"latents": np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)}
    for name, path in bundles.items():
        right = Evaluator(path / "coreml/fp16/decoder.mlpackage", "fp16")(feeds)["image"]
        found = Evaluator(output / "decoder.mlpackage", "fp16", function=name)(feeds)["image"]
        np.testing.assert_array_equal(found, right)


def test_a_bundle_with_float16_outside_says_so(bundles: dict[str, Path]) -> None:
    for name, dtype in (("base", "float32"), ("lean", "float16")):
        denoiser = Bundle.open(bundles[name]).manifest.variant("coreml-fp16").components["denoiser"]
        types = {spec.name: spec.dtype for spec in (*denoiser.inputs, *denoiser.outputs)}
        assert types.pop("timestep") == "float32" and set(types.values()) == {dtype}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("base",), "expected NAME=BUNDLE, each name once and of letters and digits, found 'base'"),
        (("base=x",), "expected two bundles or more, found 1"),
    ],
)
def test_what_cannot_be_joined_is_refused(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    result = _run(*arguments, "-o", tmp_path / "joined")
    assert result.returncode == 2 and sentence in result.stderr and list(tmp_path.iterdir()) == []


def test_a_build_of_another_engine_is_refused(bundles: dict[str, Path], bundle: Path, tmp_path: Path) -> None:
    result = _run(f"a={bundles['base']}", f"b={bundle}", "--variant", "fp32", "-o", tmp_path / "joined")
    assert result.returncode == 2 and "fp32" in result.stderr and list(tmp_path.iterdir()) == []
