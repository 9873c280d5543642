"""Where a bundle comes from: enough to know whether making it again would give the same bytes."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fewstep
import fewstep_export
import fewstep_models
from fewstep.manifest import Provenance
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig

PACKAGES = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def provenance_of(generator: Generator, config: ExportConfig) -> Provenance:
    """Hash of the checkpoint, versions of the tools, command and options."""
    versions = {package: version(package) for package in PACKAGES}
    try:
        own = version("fewstep")
    except PackageNotFoundError:  # run from a source tree
        own = "source"
    versions["fewstep"] = f"{own}+{_source_digest()[:12]}"
    return Provenance(generator.checkpoint_sha256, versions, config.command(), config.options())


def _source_digest() -> str:
    """sha256 over the code that shapes a bundle: a version number does not change with every edit of the code."""
    total = hashlib.sha256()
    for package in (fewstep, fewstep_models, fewstep_export):
        assert package.__file__ is not None
        for path in sorted(Path(package.__file__).parent.rglob("*.py")):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
