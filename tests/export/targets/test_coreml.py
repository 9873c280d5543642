"""A bundle with Core ML packages: what is written, how it is judged, what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from tests.export.conftest import COREML_PRECISIONS as PRECISIONS

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError, IntegrityError
from fewstep.pipeline import Pipeline
from fewstep.verification import fixed_feeds, verify_bundle
from fewstep_export.bundle_writer import file_records, write_manifest
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_export.fixed_inputs import Cases
from fewstep_export.package_config import ConvertConfig


def test_every_file_of_a_package_is_listed(coreml_bundle: Path) -> None:
    opened = Bundle.open(coreml_bundle)
    component = opened.manifest.variant("coreml-fp16").components["decoder"]
    files = opened.manifest.files_of(component)
    assert {Path(name).name for name in files} == {"Manifest.json", "model.mlmodel", "weight.bin"}
    assert opened.graph(component) == coreml_bundle / "coreml/fp16/decoder.mlpackage"
    assert opened.manifest.bytes_of(component) == sum((coreml_bundle / name).stat().st_size for name in files)


def test_fp32_is_tight_and_fewer_bits_are_smaller_and_worse(coreml_bundle: Path) -> None:
    manifest = Bundle.open(coreml_bundle).manifest
    variants = [manifest.variant(f"coreml-{precision}") for precision in PRECISIONS]
    sizes = [sum(manifest.bytes_of(c) for c in variant.components.values()) for variant in variants]
    decibels = [variant.verification["pictures_emulated"].psnr or 0 for variant in variants]
    assert sizes == sorted(sizes, reverse=True) and decibels == sorted(decibels, reverse=True)
    assert all(v.max_abs_error <= 1e-5 * v.output_scale for v in variants[0].verification.values())


def test_verify_reads_every_package_back(coreml_bundle: Path) -> None:
    findings = [f for f in verify_bundle(Bundle.open(coreml_bundle)) if f.variant.startswith("coreml")]
    assert len(findings) == 3 * len(PRECISIONS)
    assert all(finding.ok and 0 < (finding.error or 0) <= (finding.bound or 0) for finding in findings)


def test_verify_measures_what_the_export_measured(coreml_bundle: Path, cases: Cases) -> None:
    found = fixed_feeds(Pipeline(coreml_bundle, "fp32"))
    for name in ("text_encoder", "decoder"):
        for feeds, case in zip(found[name], cases[name], strict=True):
            assert all(np.array_equal(feeds[key], value) for key, value in case.feeds.items())
    for feeds, case in zip(found["denoiser"], cases["denoiser"], strict=True):
        assert all(np.allclose(feeds[key], value, atol=1e-5) for key, value in case.feeds.items())


def _flip_a_weight(bundle: Path) -> None:
    file = bundle / "coreml/fp32/decoder.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    data = bytearray(file.read_bytes())
    data[64 + 64 + 3] ^= 0x04  # an exponent bit of the first value of the first blob
    file.write_bytes(data)


def test_a_changed_weight_is_found_by_its_hash(coreml_bundle: Path, tmp_path: Path) -> None:
    changed = Path(copytree(coreml_bundle, tmp_path / "changed.fewstep"))
    _flip_a_weight(changed)
    with pytest.raises(IntegrityError, match=r"weight\.bin"):
        list(verify_bundle(Bundle.open(changed)))


def test_a_wrong_weight_with_the_right_hash_is_found_by_its_pictures(
    coreml_bundle: Path, tmp_path: Path
) -> None:
    changed = Path(copytree(coreml_bundle, tmp_path / "changed.fewstep"))
    _flip_a_weight(changed)
    manifest = Bundle.open(changed).manifest
    object.__setattr__(manifest, "files", file_records(changed))
    write_manifest(changed, manifest)
    wrong = [finding for finding in verify_bundle(Bundle.open(changed)) if not finding.ok]
    assert [(finding.variant, finding.component) for finding in wrong] == [("coreml-fp32", "decoder")]
    command = [sys.executable, "-m", "fewstep", "verify", str(changed), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "the first decoder of coreml-fp32" in result.stderr
    assert json.loads(result.stdout)["ok"] is False


@pytest.mark.parametrize(
    ("targets", "precisions", "sentence"),
    [
        (("ort",), ("fp32", "w8"), "expected --target coreml for w8, found ort"),
        (("coreml",), ("w4",), "expected --min-target iOS18 for w4"),
        (("ort", "coreml"), ("w8",), "expected fp32 or fp16 for the target ort"),
        (("ort",), ("fp32", "int8"), "expected --target tensorrt or coreml for int8"),
    ],
)
def test_what_no_package_can_have_is_refused_before_any_work(
    targets: tuple[str, ...], precisions: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(FewstepError, match=sentence):
        ExportConfig("tiny", Path("x"), targets, precisions)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_bundle_of_compressed_packages_alone(tiny: Generator, tmp_path: Path) -> None:
    config = ExportConfig(
        "tiny", tmp_path / "t.fewstep", ("coreml",), ("w4", "palette-mixed"), packages=ConvertConfig("iOS18")
    )
    opened = Bundle.open(export_generator(tiny, config))
    assert opened.manifest.default_variant == "coreml-w4"
    assert sorted(path.name for path in (opened.root / "coreml").iterdir()) == ["palette-mixed", "w4"]
    assert {finding.note for finding in verify_bundle(opened)} == {"loads; no FP32 graphs to compare with"}
