"""The variants of a bundle, put together of files that lie in the folders of stages."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from fewstep.manifest import Component, Variant
from fewstep_export.large.check import load_verification
from fewstep_export.signature import component_record


@dataclass(frozen=True)
class Built:
    """A graph in the folder of its stage, and the folder of its verification; the same of the package made of it, if any."""

    graph: Path
    check: Path
    packages: Path | None = None
    package_check: Path | None = None


Builds = Mapping[str, Mapping[str, Built]]
"""By component and precision."""


def coreml_variant(precision: str, built: Builds, root: Path) -> Variant:
    """Puts the packages of a precision into the bundle."""
    from fewstep_export.targets.coreml import package_record  # coremltools is an extra

    components, verification = {}, {}
    for name, builds in built.items():
        one = builds[precision]
        assert one.packages is not None and one.package_check is not None  # `_packages` made them
        path = root / "coreml" / precision / f"{name}.mlpackage"
        shutil.copytree(one.packages / path.name, path, copy_function=_link)
        model = onnx.load(str(one.graph), load_external_data=False)
        components[name] = package_record(model, path, root)
        verification[name] = load_verification(one.package_check)
    return Variant(f"coreml-{precision}", "coreml", precision, "mlpackage", components, verification)


def onnxruntime_variant(precision: str, built: Builds, root: Path) -> Variant:
    """Puts the graphs of a precision into the bundle."""
    folder = root / "ort" / precision
    folder.mkdir(parents=True)
    components: dict[str, Component] = {}
    for name, builds in built.items():
        for file in sorted(builds[precision].graph.parent.glob(f"{name}.onnx*")):
            _link(file, folder / file.name)
        model = onnx.load(str(folder / f"{name}.onnx"), load_external_data=False)
        components[name] = component_record(model, f"ort/{precision}/{name}.onnx")
    verification = {name: load_verification(builds[precision].check) for name, builds in built.items()}
    return Variant(precision, "onnxruntime", precision, "onnx", components, verification)


def _link(file: str | Path, place: str | Path) -> None:
    """A second name for a file, or a copy where the disk has no such thing."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)
