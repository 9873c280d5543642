"""The bill of materials of a bundle: every file with its hash, valid by CycloneDX's schema, the same each time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclonedx.model.bom import Bom

from fewstep.bundle import Bundle
from fewstep.sbom import bill_of_bundle

Command = Callable[..., Any]


def test_every_file_is_there_with_its_hash(tiny_bundle: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    bill = json.loads(bill_of_bundle(manifest))
    found = {part["name"]: part for part in bill["components"]}
    assert found.keys() == manifest.files.keys()
    for name, record in manifest.files.items():
        assert found[name]["hashes"] == [{"alg": "SHA-256", "content": record.sha256}]
    assert found["ort/fp32/denoiser.onnx"]["type"] == "machine-learning-model"
    main = bill["metadata"]["component"]
    assert (main["name"], main["version"]) == ("tiny", f"sha256:{manifest.digest}")
    (licence,) = main["components"]
    assert licence["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    (dependencies,) = [entry for entry in bill["dependencies"] if entry["ref"] == main["bom-ref"]]
    assert len(dependencies["dependsOn"]) == len(found)


def test_the_same_bundle_gives_the_same_bill_and_the_library_reads_it(tiny_bundle: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    text = bill_of_bundle(manifest)
    assert text == bill_of_bundle(manifest)
    read = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]
    assert read.metadata.component.name == "tiny" and len(read.components) == len(manifest.files)


def test_the_command_prints_it(tiny_bundle: Path, fewstep_command: Command) -> None:
    done = fewstep_command("info", tiny_bundle, "--sbom")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bomFormat"] == "CycloneDX"
