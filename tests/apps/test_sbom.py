"""The bill of materials of a packaged app."""

import hashlib
import json
from pathlib import Path

from fewstep_apps.config import PackageConfig
from fewstep_apps.sbom import LOCK, bill_of_package


def test_files_model_and_software_are_listed(bundle: Path, tmp_path: Path) -> None:
    config = PackageConfig(bundle, "web", tmp_path / "app")
    (config.output / "parts").mkdir(parents=True)
    (config.output / "index.html").write_text("the app")
    (config.output / "parts" / "0").write_bytes(b"weights")
    bill = json.loads(bill_of_package(config))
    parts = {part["name"]: part for part in bill["components"]}
    assert parts["parts/0"]["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()
    assert parts["onnxruntime-web"]["purl"].startswith("pkg:npm/onnxruntime-web@")
    assert "vite" not in parts  # it builds the app and is not in it
    names = {part["name"] for part in bill["metadata"]["component"]["components"]}
    assert {"weights", "ONNX Runtime", "fewstep"} <= names
    npm = [part for part in parts.values() if part["type"] == "library"]
    locked = json.loads(LOCK.read_text())["packages"]
    assert len(npm) == len({path for path, package in locked.items() if path and not package.get("dev")})
