"""What `fewstep package --app android` writes, and what it refuses."""

import hashlib
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from tests.apps.web.app import premultiplied, psnr
from typer.testing import CliRunner

from fewstep.bundle import Bundle
from fewstep.cli import build_app
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep_apps.android import apk, ort_graphs
from fewstep_apps.android.package import AndroidPackage, package_android
from fewstep_apps.android.words import identifier
from fewstep_apps.bundle_part import write_part
from fewstep_apps.config import PackageConfig


def test_the_apk_is_signed_aligned_and_asks_for_nothing(android_package: AndroidPackage) -> None:
    assert android_package.apk is not None
    path = str(android_package.apk)
    verified = subprocess.run(
        ["apksigner", "verify", "--verbose", "--min-sdk-version", str(apk.MIN_SDK), path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        verified.returncode == 0
        and "Verified using v3 scheme (APK Signature Scheme v3): true" in verified.stdout
    )
    assert subprocess.run(["zipalign", "-c", "-p", "4", path], check=False).returncode == 0
    said = subprocess.run(
        ["aapt", "dump", "badging", path], capture_output=True, text=True, check=True
    ).stdout
    assert "package: name='fewstep.web.tiny'" in said and "application-label:'Tiny's <stickers>'" in said
    assert "launchable-activity: name='fewstep.web.MainActivity'" in said
    assert "uses-permission" not in said


def test_its_code_has_the_classes_that_are_named(android_package: AndroidPackage, tmp_path: Path) -> None:
    shutil.unpack_archive(str(android_package.apk), tmp_path, "zip")
    said = subprocess.run(
        ["dexdump", str(tmp_path / "classes.dex")], capture_output=True, text=True, check=True
    ).stdout
    for name in ("MainActivity", "Assets", "Host"):
        assert f"'Lfewstep/web/{name};'" in said
    assert (
        "name          : 'shouldInterceptRequest'" in said
        and "Landroid/webkit/JavascriptInterface;"
        in Path(apk.PROJECT / "smali" / "fewstep" / "web" / "Host.smali").read_text()
    )


def test_the_assembly_is_that_of_the_java() -> None:
    lines = (apk.PROJECT / "java.sha256").read_text().splitlines()
    recorded = {name: digest for digest, name in (line.split() for line in lines)}
    sources = (apk.PROJECT / "java" / "fewstep" / "web").glob("*.java")
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    assert found == recorded, "the Java was edited; run tools/webview_smali.sh"


def test_a_changed_apk_is_not_verified(android_package: AndroidPackage, tmp_path: Path) -> None:
    content = bytearray(Path(str(android_package.apk)).read_bytes())
    content[len(content) // 3] ^= 1
    (tmp_path / "changed.apk").write_bytes(content)
    done = subprocess.run(
        ["apksigner", "verify", str(tmp_path / "changed.apk")], capture_output=True, check=False
    )
    assert done.returncode != 0


def test_the_project_holds_the_bundle_in_the_format_of_the_runtime(
    android_package: AndroidPackage, app_bundle: Path
) -> None:
    main = android_package.output / "native" / "app" / "src" / "main"
    bundle = Bundle.open(main / "assets" / "bundle")
    bundle.verify()
    (variant,) = bundle.manifest.variants
    assert (variant.name, variant.format) == ("int8", "ort")
    prompt, seed = "a red heart", 7
    found, expected = (
        premultiplied(Pipeline(root, "int8").generate(prompt, seed)) for root in (bundle.root, app_bundle)
    )
    assert psnr(found, expected) > 50
    assert ET.parse(main / "res" / "values" / "strings.xml").findtext("string") == "Tiny\\'s <stickers>"
    licences = (main / "assets" / "licences.html").read_text()
    assert "the fewstep tests" in licences and "Gson" in licences
    properties = (android_package.output / "native" / "gradle.properties").read_text()
    assert "fewstep.applicationId=fewstep.app.tiny\n" in properties


def test_graphs_in_half_precision_keep_their_size(app_bundle: Path, tmp_path: Path) -> None:
    source = Bundle.open(app_bundle)
    part = write_part(source, ["fp16"], tmp_path / "part.fewstep")
    (variant,) = ort_graphs.convert(part).manifest.variants
    assert variant == source.manifest.variant("fp16")
    part.verify()


def test_without_tools_the_project_is_written_and_told_how_to_get_them(
    app_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built_site: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(
        build_app(), ["package", str(app_bundle), "--app", "android", "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 0
    assert "apt-get install aapt zipalign apksigner libsmali-java default-jre-headless" in " ".join(
        result.stderr.split()
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["native"]


def test_bad_input_is_named_and_nothing_is_left(app_bundle: Path, built_site: Path, tmp_path: Path) -> None:
    config = PackageConfig(app_bundle, "android", tmp_path / "out" / "app")
    broken = tmp_path / "broken.keystore"
    broken.write_text("no key")
    with pytest.raises(FewstepError, match="expected apksigner to work, found exit code"):
        package_android(config, built_site, broken)
    with pytest.raises(FewstepError, match="expected one of the variants"):
        package_android(replace(config, variants=("int9",)), built_site)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_names_become_identifiers() -> None:
    assert [identifier(name) for name in ("emoji-128", "8 bit", "Ω!")] == ["emoji_128", "x8_bit", "x"]
