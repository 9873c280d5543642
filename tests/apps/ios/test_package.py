"""What `fewstep package --app ios` writes: read by others' parsers, since no Xcode was here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree_sitter
import tree_sitter_swift
from openstep_parser import OpenStepDecoder
from PIL import Image
from tests.apps.ios.swift_tools import SCREENS, SOURCES
from typer.testing import CliRunner

from fewstep.cli import build_app
from fewstep.errors import FewstepError
from fewstep_apps.config import PackageConfig
from fewstep_apps.ios.package import IosPackage, package_ios
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator


@pytest.fixture(scope="module")
def core_ml_bundle(tiny: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny generator's bundle for Core ML and ONNX Runtime; tests only read it."""
    output = tmp_path_factory.mktemp("coreml") / "tiny.fewstep"
    return export_generator(tiny, ExportConfig("tiny", output, ("ort", "coreml"), ("fp32",)))


@pytest.fixture(scope="module")
def made(core_ml_bundle: Path, built_site: Path, tmp_path_factory: pytest.TempPathFactory) -> IosPackage:
    output = tmp_path_factory.mktemp("ios") / "app"
    return package_ios(PackageConfig(core_ml_bundle, "ios", output, (), 'Tiny "stickers"'), built_site)


@pytest.fixture(scope="module")
def objects(made: IosPackage) -> dict[str, Any]:
    """The objects of the project, read by another's parser."""
    text = (made.project / "project.pbxproj").read_text(encoding="utf-8")
    found: dict[str, Any] = OpenStepDecoder.ParseFromString(text)
    return found["objects"]  # type: ignore[no-any-return]


def of_kind(objects: dict[str, Any], isa: str) -> list[dict[str, Any]]:
    return [value for value in objects.values() if value["isa"] == isa]


def test_no_identity_leads_nowhere_and_every_file_is_there(made: IosPackage, objects: dict[str, Any]) -> None:
    def words(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        else:
            for entry in value.values() if isinstance(value, dict) else value:
                yield from words(entry)

    identities = {
        word for value in objects.values() for word in words(value) if len(word) == 24 and word.isupper()
    }
    assert identities <= objects.keys() and len(objects) > 30
    for reference in of_kind(objects, "PBXFileReference"):
        assert reference["sourceTree"] == "BUILT_PRODUCTS_DIR" or (made.output / reference["path"]).exists()


def test_what_is_compiled_and_what_is_copied(made: IosPackage, objects: dict[str, Any]) -> None:
    def names(isa: str) -> set[str]:
        (phase,) = of_kind(objects, isa)
        return {objects[objects[build]["fileRef"]]["name"] for build in phase["files"]}

    programs = {"text_encoder.mlpackage", "denoiser.mlpackage", "decoder.mlpackage"}
    assert names("PBXSourcesBuildPhase") == programs | {path.name for path in SCREENS}
    assert names("PBXResourcesBuildPhase") == {"Assets.xcassets", "Bundle", "licences.json"}
    assert sorted(p.relative_to(made.output).as_posix() for p in (made.output / "Bundle").rglob("*")) == [
        "Bundle/LICENCES.md",
        "Bundle/manifest.json",
        "Bundle/tokenizer.json",
    ]
    assert made.variant == "coreml-fp32"
    assert (made.output / "Programs" / "denoiser.mlpackage" / "Manifest.json").is_file()
    (product,) = of_kind(objects, "XCSwiftPackageProductDependency")
    assert (made.output / product["productName"] / "Package.swift").is_file()


def test_another_library_finds_the_target(made: IosPackage) -> None:
    from pbxproj import XcodeProject

    project = XcodeProject.load(str(made.project / "project.pbxproj"))
    (target,) = project.objects.get_targets()
    assert (target.name, target.productType) == ("tiny", "com.apple.product-type.application")
    flags = {
        c.buildSettings["PRODUCT_BUNDLE_IDENTIFIER"]
        for c in project.objects.get_configurations_on_targets("tiny")
    }
    assert flags == {"app.fewstep.tiny"}


def test_title_licences_and_icon(made: IosPackage, objects: dict[str, Any]) -> None:
    settings = [value["buildSettings"] for value in of_kind(objects, "XCBuildConfiguration")]
    assert {s["INFOPLIST_KEY_CFBundleDisplayName"] for s in settings if "PRODUCT_NAME" in s} == {
        'Tiny "stickers"'
    }
    licences = json.loads((made.output / "licences.json").read_text())
    assert licences["The model"][0]["credit"] == "the fewstep tests" and licences["The software"]
    with Image.open(made.output / "App" / "Assets.xcassets" / "AppIcon.appiconset" / "icon.png") as icon:
        assert (icon.size, icon.mode) == ((1024, 1024), "RGB")


@pytest.mark.parametrize("path", [*SOURCES, *SCREENS], ids=lambda path: path.name)
def test_the_swift_parses(path: Path) -> None:
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
    content = path.read_bytes()
    assert not parser.parse(content).root_node.has_error
    assert parser.parse(content[: content.rindex(b"}")]).root_node.has_error


def test_the_command_and_what_it_refuses(
    core_ml_bundle: Path, app_bundle: Path, built_site: Path, tmp_path: Path
) -> None:
    output = tmp_path / "app"
    result = CliRunner().invoke(
        build_app(), ["package", str(core_ml_bundle), "--app", "ios", "-o", str(output)]
    )
    assert result.exit_code == 0 and "open it in Xcode 15 or newer" in result.stderr
    assert (output / "tiny.xcodeproj" / "project.pbxproj").is_file()
    with pytest.raises(
        FewstepError, match=r"the iOS app can run, found none, in .*; export with --target coreml"
    ):
        package_ios(PackageConfig(app_bundle, "ios", tmp_path / "other"), built_site)
    assert not (tmp_path / "other").exists()


def test_the_same_project_gives_the_same_text(
    made: IosPackage, core_ml_bundle: Path, built_site: Path, tmp_path: Path
) -> None:
    again = package_ios(
        PackageConfig(core_ml_bundle, "ios", tmp_path / "app", (), 'Tiny "stickers"'), built_site
    )
    assert (again.project / "project.pbxproj").read_text() == (made.project / "project.pbxproj").read_text()
