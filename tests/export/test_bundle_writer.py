"""What is made from the files of a bundle, and when an older bundle will do."""

from dataclasses import replace
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.manifest import Licence
from fewstep_export.bundle_writer import file_records, licences_text, reusable, write_manifest


def test_file_records_leave_the_manifest_out(tmp_path: Path) -> None:
    for name, content in (("b", "1"), ("ort/a", "22"), ("manifest.json", "{}")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    records = file_records(tmp_path)
    assert {name: record.bytes for name, record in records.items()} == {"b": 1, "ort/a": 2}
    assert records["b"].sha256 == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_only_a_whole_bundle_of_the_same_provenance_is_reusable(bundle: Path, tmp_path: Path) -> None:
    provenance = Bundle.open(bundle).manifest.provenance
    assert reusable(bundle, provenance)
    assert not reusable(bundle, replace(provenance, options={**provenance.options, "steps": 5}))
    assert not reusable(bundle, replace(provenance, checkpoint_sha256="1" * 64))
    assert not reusable(tmp_path, provenance)


def test_the_manifest_that_is_written_is_the_one_that_is_read(bundle: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    write_manifest(tmp_path, manifest)
    assert Bundle.open(tmp_path).manifest == manifest
    assert (tmp_path / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()


def test_licences_are_a_table() -> None:
    text = licences_text("x", [Licence("pictures", "CC-BY-4.0", "someone")])
    assert text.startswith("# Licences of x\n") and "| pictures | CC-BY-4.0 | someone |\n" in text
