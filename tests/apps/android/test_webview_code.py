"""The code inside the APK, run: back from Dalvik to the JVM by Debian's enjarify, with stand-ins of Android's classes (acting/)."""

import hashlib
import shutil
import zipfile
from pathlib import Path

from tests.apps.android import kotlin

from fewstep_apps.android.package import AndroidPackage

ORIGIN = "https://appassets.androidplatform.net"
ACTING = Path(__file__).with_name("acting")


def test_it_answers_with_the_files_of_the_apk_and_with_nothing_else(
    android_package: AndroidPackage, tmp_path: Path
) -> None:
    archive = zipfile.ZipFile(str(android_package.apk))
    archive.extract("classes.dex", tmp_path)
    classes = tmp_path / "webview.jar"
    # Debian's program wants Debian's Python.
    translated = ["enjarify", "--force", str(tmp_path / "classes.dex"), "--output", str(classes)]
    assert "3 classes translated successfully" in kotlin.run(translated, {"PATH": "/usr/bin:/bin"})
    stubs = kotlin.stubs(tmp_path / "stubs").parent / "sources"
    shutil.copytree(ACTING, stubs, dirs_exist_ok=True)
    sources = [str(path) for path in stubs.rglob("*.java")]
    kotlin.run(["javac", "-d", str(tmp_path / "acting"), "-cp", str(classes), *sources])

    files = {
        "/": "index.html",
        "/app.json": "app.json",
        "/ort/ort.wasm.min.mjs": "ort/ort.wasm.min.mjs",
        "/sw.js": "sw.js",
    }
    others = [
        f"{ORIGIN}/nothing",
        f"{ORIGIN}/../classes.dex",
        f"{ORIGIN}/parts",
        "https://example.org/index.html",
    ]
    java = [
        "java",
        "-Xverify:all",
        f"-Dapk={android_package.apk}",
        "-cp",
        kotlin.joined([tmp_path / "acting", classes]),
    ]
    said = kotlin.run([*java, "fewstep.web.Ask", *(ORIGIN + path for path in files), *others]).splitlines()
    types = ["text/html", "application/json", "text/javascript", "text/javascript"]
    expected = [
        f"200 {kind} 2 {hashlib.sha256(archive.read(f'assets/site/{name}')).hexdigest()}"
        for name, kind in zip(files.values(), types, strict=True)
    ]
    nothing = f"404 text/plain 2 {hashlib.sha256(b'').hexdigest()}"
    assert said == [*expected, *[nothing] * len(others)]
    archive.close()
