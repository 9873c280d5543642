"""`fewstep loop`: forms of the loop of a quantised build, made of its graphs, in a bundle that is there already."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from fewstep import archive
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep.verification import verify_bundle
from fewstep_export.bundle_writer import write_manifest
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.loop_forms.command import add_to_bundle
from fewstep_export.loop_forms.config import LoopConfig, LoopForms
from fewstep_quantization.command import quantize
from fewstep_quantization.config import Limits, QuantizeConfig
from fewstep_quantization.gate import GateError

FORMS = LoopForms(hoist=True, fuse_step=True, unroll=2)
NAMES = ["int8-hoisted", "int8-hoisted-fused", "int8-unrolled"]


@pytest.fixture(scope="module")
def quantised(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a build of eight bits; tests only read it."""
    copy = Path(shutil.copytree(bundle, tmp_path_factory.mktemp("quantised") / "tiny.fewstep"))
    quantize(QuantizeConfig(copy, "int8", pictures=2, rounds=1, limits=Limits(speedup=1e-6)))
    return copy


@pytest.fixture
def own(quantised: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(quantised, tmp_path / "own.fewstep"))


def products(bundle: Bundle, variant: str, component: str) -> int:
    """The integer products of a graph."""
    graph = onnx.load(bundle.root / bundle.manifest.variant(variant).components[component].file).graph
    return Counter(node.op_type for node in graph.node)["MatMulIntegerToFloat"]


def test_forms_of_int8_draw_its_pictures_in_integers(own: Path) -> None:
    """A guided model, so that both branches go through the integers of one call."""
    made = add_to_bundle(LoopConfig(own, FORMS, "int8", force=True, rounds=1, threads=1))
    bundle = Bundle.open(own)
    bundle.verify()
    assert [v.name for v in made] == NAMES
    assert [v.name for v in bundle.manifest.variants][-4:] == ["int8", *NAMES]
    table = bundle.manifest.step_tables["flow-dpm++2m-2"]
    expected = Pipeline(bundle, "int8", 1).generate_array(["a red heart"], [3], table)
    for variant in made:
        assert variant.precision == "int8"
        assert (variant.verification["pictures_host"].psnr or 0) > 60
        found = Pipeline(bundle, variant.name, 1).generate_array(["a red heart"], [3], table)
        assert np.abs(found - expected).max() < 1e-5
    whole, decoder = (products(bundle, "int8", name) for name in ("denoiser", "decoder"))
    assert whole and decoder
    assert products(bundle, "int8-hoisted-fused", "fused_step") < whole  # those of the prompt are apart
    assert products(bundle, "int8-hoisted-fused", "prompt") + products(
        bundle, "int8-hoisted-fused", "fused_step"
    ) == pytest.approx(whole)
    assert products(bundle, "int8-unrolled", "unrolled") == 2 * whole + decoder


def test_verify_draws_a_form_again_and_notices_one_that_is_something_else(own: Path) -> None:
    add_to_bundle(LoopConfig(own, FORMS, "int8", force=True, rounds=1))
    bundle = Bundle.open(own)
    drawn = {f.variant: f for f in verify_bundle(bundle) if f.note == "picture of int8, drawn again"}
    assert sorted(drawn) == NAMES
    assert all(f.ok and f.error is not None and f.bound for f in drawn.values())
    latent = replace(bundle.manifest.latent, shift=(0.5,) * 4)  # the unrolled graph has the old one inside
    write_manifest(own, replace(bundle.manifest, latent=latent))
    wrong = {f.variant: f.note for f in verify_bundle(Bundle.open(own)) if not f.ok}
    assert wrong == {"int8-unrolled": "picture of int8, not the same"}


def test_what_a_form_is_worth_is_measured_and_the_rest_is_its_builds(own: Path) -> None:
    base = Bundle.open(own).manifest.variant("int8").gates["fp32"]
    (made,) = add_to_bundle(LoopConfig(own, LoopForms(unroll=4), "int8", force=True, rounds=2))
    gate = Bundle.open(own).manifest.variant("int8-unrolled").gates["fp32"]
    assert gate == made.gates["fp32"]
    assert (gate.psnr, gate.latent_error, gate.scheme) == (base.psnr, base.latent_error, "int8")
    assert gate.speedup_interval[0] <= gate.speedup <= gate.speedup_interval[1]
    assert gate.size != base.size and gate.passed == (gate.speedup_interval[0] >= 1)


def test_again_takes_the_place_of_the_older_form(own: Path) -> None:
    forms = LoopForms(fuse_step=True)
    add_to_bundle(LoopConfig(own, forms, "int8", force=True, rounds=1))
    names = [v.name for v in Bundle.open(own).manifest.variants]
    quantize(QuantizeConfig(own, "w8", name="int8", pictures=2, rounds=1, limits=Limits(speedup=1e-6)))
    add_to_bundle(LoopConfig(own, forms, "int8", force=True, rounds=1))
    bundle = Bundle.open(own)
    bundle.verify()
    assert sorted(v.name for v in bundle.manifest.variants) == sorted(names)
    assert bundle.manifest.variant("int8-fused").precision == "w8"
    assert products(bundle, "int8-fused", "fused_step") == 0


def test_bad_input_is_named_and_leaves_the_bundle_as_it_was(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (own / "manifest.json").read_bytes()
    with pytest.raises(FewstepError, match="expected --hoist, --fuse-step or --unroll STEPS, found none"):
        LoopConfig(own, LoopForms())
    config = LoopConfig(own, LoopForms(fuse_step=True), "fp32-ort")
    with pytest.raises(
        FewstepError, match=r"variant of \.onnx graphs whose loop runs on the host .*fp32-ort"
    ):
        add_to_bundle(config)
    with pytest.raises(FewstepError, match=r"expected one of the variants .*, found 'int4'"):
        add_to_bundle(replace(config, variant="int4"))
    monkeypatch.setattr("fewstep_export.loop_forms.command.Limits", lambda: Limits(speedup=1000.0))
    with pytest.raises(GateError, match=r"speed-up .* \(limit >= 1000x\).*--force"):
        add_to_bundle(replace(config, variant="int8", rounds=1))
    assert (own / "manifest.json").read_bytes() == before
    Bundle.open(own).verify()
    archive.pack(own, tmp_path / "own.zip")
    with pytest.raises(FewstepError, match="folder of a bundle, found a file"):
        add_to_bundle(replace(config, bundle=tmp_path / "own.zip"))


def fewstep(*arguments: object) -> dict[str, object]:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "fewstep", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, object] = json.loads(done.stdout)
    return printed


def test_the_command_and_the_benchmark_beside_other_precisions(own: Path) -> None:
    told = fewstep("loop", own, "--variant", "int8", "--unroll", 2, "--rounds", 1, "--force", "--json")
    assert list(told["variants"]) == ["int8-unrolled"]  # type: ignore[call-overload]
    precisions = ["--compare-precisions", "fp32,int8,int8-unrolled", "--runs", 1, "--warmup", 0]
    report = fewstep("bench", own, *precisions, "--json", "-")
    assert "int8-unrolled_over_fp32" in report["speedup"]  # type: ignore[operator]


@pytest.mark.slow
def test_the_zoos_student_in_int8_and_every_form(tmp_path: Path) -> None:
    """Four steps with fresh noise in each, calibrated, all layers that pay in integers."""
    root = export(ExportConfig("emoji-128-4step", tmp_path / "x.fewstep", precisions=("fp32",)))
    quantize(QuantizeConfig(root, "int8", pictures=8, rounds=2, limits=Limits(speedup=1e-6)))
    for forms in (LoopForms(fuse_step=True, unroll=4), LoopForms(hoist=True, fuse_step=True)):
        for variant in add_to_bundle(LoopConfig(root, forms, "int8", force=True, rounds=1)):
            assert (variant.verification["pictures_host"].psnr or 0) > 60
            assert variant.gates["fp32"].size < 0.28
