"""The native app: its resources by Debian's aapt, its code by the Kotlin compiler against signatures of Android and ONNX Runtime.

Whether Gradle builds it, and what it does on a phone, was not seen.
"""

import re
import shutil
from pathlib import Path

import pytest
from tests.apps.android import kotlin

from fewstep_apps.android.apk import FRAMEWORK
from fewstep_apps.android.package import AndroidPackage

IDENTITY = 'package="fewstep.app"'  # which Gradle takes from the namespace


@pytest.mark.slow
def test_the_project_compiles(android_package: AndroidPackage, core: Path, tmp_path: Path) -> None:
    main = android_package.output / "native" / "app" / "src" / "main"
    manifest = tmp_path / "AndroidManifest.xml"
    manifest.write_text(
        (main / "AndroidManifest.xml").read_text().replace("<manifest ", f"<manifest {IDENTITY} ", 1)
    )
    shutil.copytree(main / "res", tmp_path / "res")
    (tmp_path / "r").mkdir()
    words = [
        "aapt",
        "package",
        "-m",
        "-J",
        str(tmp_path / "r"),
        "-M",
        str(manifest),
        "-S",
        str(tmp_path / "res"),
    ]
    kotlin.run([*words, "-I", str(FRAMEWORK)])
    kotlin.run(["javac", "-d", str(tmp_path / "classes"), str(tmp_path / "r" / "fewstep" / "app" / "R.java")])
    classpath = [core, tmp_path / "classes", kotlin.stubs(tmp_path / "stubs"), *kotlin.LIBRARIES]
    kotlin.compiled([main / "kotlin"], tmp_path / "app", classpath)
    for name in re.findall(r'android:name="(fewstep[\w.]+)"', manifest.read_text()):
        assert (tmp_path / "app" / f"{name.replace('.', '/')}.class").is_file()


@pytest.mark.slow
def test_code_that_is_wrong_does_not_compile(core: Path, tmp_path: Path) -> None:
    (tmp_path / "Wrong.kt").write_text("fun wrong(view: android.view.View) = view.setEnabled(7)")
    with pytest.raises(AssertionError, match=r"Wrong\.kt:1"):
        kotlin.compiled([tmp_path / "Wrong.kt"], tmp_path / "out", [core, kotlin.stubs(tmp_path / "stubs")])
