"""Bundles: what is there must be what the manifest lists."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import BundleError, FewstepError, IntegrityError
from fewstep.samplers import compile_table
from fewstep.step_table import StepTable


def test_a_good_bundle_verifies(tiny_bundle: Path) -> None:
    assert Bundle.open(tiny_bundle).verify() == 8


def test_no_bundle_and_no_manifest_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"expected a bundle folder, found none, at .*nowhere"):
        Bundle.open(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"expected manifest\.json, found none"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[1]"])
def test_a_manifest_that_is_no_json_object_is_refused(bundle_copy: Path, content: bytes) -> None:
    (bundle_copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"expected .* found .*manifest\.json"):
        Bundle.open(bundle_copy)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def append_a_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    "name", ["ort/fp32/denoiser.onnx", "ort/fp32-ort/decoder.ort", "tokenizer.json", "LICENCES.md"]
)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, "expected SHA-256 .* the file was changed"),
        (append_a_byte, r"expected \d+ bytes, found \d+"),
        (Path.unlink, "expected the file .*, found none"),
    ],
)
def test_a_damaged_file_is_refused(
    bundle_copy: Path, name: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(bundle_copy / name)
    bundle = Bundle.open(bundle_copy)
    with pytest.raises(IntegrityError, match=message):
        bundle.verify()
    with pytest.raises(IntegrityError, match=message):
        bundle.file(name)


@pytest.mark.parametrize("name", ["extra.txt", "ort/fp32/extra.onnx", ".hidden"])
def test_a_file_that_is_not_listed_is_refused(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).write_text("x")
    with pytest.raises(IntegrityError, match=f"expected only files that the manifest lists, found {name}"):
        Bundle.open(bundle_copy).verify()


def test_a_link_out_of_the_bundle_is_refused(bundle_copy: Path, tmp_path: Path) -> None:
    file = bundle_copy / "ort/fp32/denoiser.onnx"
    outside = file.rename(tmp_path / "outside.onnx")
    file.symlink_to(outside)
    with pytest.raises(IntegrityError, match="expected a file inside the bundle, found a link out of it"):
        Bundle.open(bundle_copy).verify()


def test_a_linked_folder_that_leaves_the_bundle_is_refused(bundle_copy: Path, tmp_path: Path) -> None:
    outside = (bundle_copy / "ort/fp32").rename(tmp_path / "outside")
    (bundle_copy / "ort/fp32").symlink_to(outside)
    with pytest.raises(IntegrityError):
        Bundle.open(bundle_copy).verify()
    with pytest.raises(IntegrityError, match="found a link out of it"):
        Bundle.open(bundle_copy).file("ort/fp32/denoiser.onnx")


def test_a_file_outside_the_manifest_is_not_handed_out(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"expected a file that the manifest lists, found '\.\./x'"):
        Bundle.open(tiny_bundle).file("../x")


def test_step_tables_are_taken_or_compiled(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.step_table() == compile_table("flow-dpm++2m", 4, 3.0)
    assert bundle.step_table(sampler="flow-euler") == bundle.manifest.step_tables["flow-euler-4"]
    assert bundle.step_table(steps=7) == compile_table("flow-dpm++2m", 7, 3.0)
    with pytest.raises(FewstepError, match="expected at least 1 step, found 0"):
        bundle.step_table(steps=0)


@pytest.mark.parametrize("sampler", ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler"])
def test_steps_of_two_stages_are_not_taken_for_evaluations(
    bundle_copy: Path, resign: Callable[..., None], sampler: str
) -> None:
    """A table of 4 steps is stored under its 7 evaluations: whoever asks for 7 steps wants 13 evaluations."""
    stored, longer = (StepTable.from_diffusers({"_class_name": sampler}, steps) for steps in (4, 7))
    marked = replace(stored, rows=(replace(stored.rows[0], timestep=998.5), *stored.rows[1:]))

    def change(manifest: dict[str, object]) -> None:
        manifest["sampling"] = {
            "prediction": "epsilon", "sampler": sampler, "steps": 4, "scheduler": {"_class_name": sampler}
        }  # fmt: skip
        manifest["step_tables"] = {stored.name: marked.to_dict()}
        manifest["default_step_table"] = stored.name

    resign(bundle_copy, change)
    bundle = Bundle.open(bundle_copy)
    assert bundle.step_table() == marked
    assert bundle.step_table(steps=4) == marked == bundle.step_table(sampler=sampler)
    assert len(bundle.step_table(steps=7).rows) == len(longer.rows) == 13
