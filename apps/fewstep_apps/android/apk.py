"""The web app as an APK: a WebView around its files. Built and signed by Debian's own tools, without an Android SDK."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep_apps.android.words import identifier, strings
from fewstep_apps.projects import copied

FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
"""Where Debian's package android-framework-res puts the resources of Android 10."""

PROJECT = Path(__file__).parent / "webview"
"""A WebView in Java, and the same as the assembly that is built."""

KEYSTORE = Path.home() / ".android" / "debug.keystore"
"""The key that an Android SDK signs with until it is told another; made here if it is not there."""

MIN_SDK = 29  # of webview/AndroidManifest.xml: the first with shared pictures that need no permission

_PACKAGES = {"aapt": "aapt", "zipalign": "zipalign", "apksigner": "apksigner", "smali": "libsmali-java"}


@dataclass(frozen=True)
class Apk:
    """What an APK is made of: the packaged web app, what it is called, its picture, and the key."""

    site: Path
    name: str
    title: str
    icon: Path
    keystore: Path = KEYSTORE


def missing() -> str | None:
    """What is missing to build an APK here, and how to get it; None if nothing is."""
    packages = [package for tool, package in _PACKAGES.items() if not shutil.which(tool)]
    if not FRAMEWORK.is_file():
        packages.append("android-framework-res")
    if not shutil.which("keytool"):
        packages.append("default-jre-headless")
    return f"apt-get install {' '.join(packages)}" if packages else None


def build(apk: Apk, output: Path) -> None:
    """Writes the signed APK.

    Raises:
        FewstepError: a tool is missing or fails.
    """
    if why := missing():
        raise FewstepError(f"expected the tools that build an APK, found too few; {why}")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) / "app"
        copied(PROJECT, work)
        (work / "res" / "values" / "strings.xml").write_text(strings(apk.title), encoding="utf-8")
        (work / "res" / "drawable-xxxhdpi").mkdir()
        shutil.copyfile(apk.icon, work / "res" / "drawable-xxxhdpi" / "icon.png")
        shutil.copytree(apk.site, work / "assets" / "site")
        _run(
            "smali",
            "assemble",
            "--api",
            str(MIN_SDK),
            "--output",
            str(work / "classes.dex"),
            str(work / "smali"),
        )
        _package(work, f"fewstep.web.{identifier(apk.name)}")
        _run("zipalign", "-f", "-p", "4", str(work / "unsigned.apk"), str(work / "aligned.apk"))
        _sign(work, apk.keystore)
        shutil.copyfile(work / "signed.apk", output)


def _package(work: Path, identity: str) -> None:
    """unsigned.apk; parts of files are packed already, and resources must lie open since Android 11."""
    files = ["-M", str(work / "AndroidManifest.xml"), "-S", str(work / "res"), "-A", str(work / "assets")]
    options = ["--rename-manifest-package", identity, "-0", "arsc", "-0", "bin"]
    _run("aapt", "package", "-f", *files, "-I", str(FRAMEWORK), *options, "-F", str(work / "unsigned.apk"))
    _run("aapt", "add", "unsigned.apk", "classes.dex", folder=work)


def _sign(work: Path, keystore: Path) -> None:
    if not keystore.is_file():
        keystore.parent.mkdir(parents=True, exist_ok=True)
        key = ["-alias", "androiddebugkey", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10950"]
        key += ["-storepass", "android", "-keypass", "android", "-dname", "CN=Android Debug,O=Android,C=US"]
        _run("keytool", "-genkeypair", "-storetype", "PKCS12", "-keystore", str(keystore), *key)
    key = ["--ks", str(keystore), "--ks-pass", "pass:android", "--ks-key-alias", "androiddebugkey"]
    options = ["--min-sdk-version", str(MIN_SDK), "--v4-signing-enabled", "false"]
    _run("apksigner", "sign", *key, *options, "--out", str(work / "signed.apk"), str(work / "aligned.apk"))


def _run(*command: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise FewstepError(
            f"expected {command[0]} to work, found exit code {done.returncode} ({said[-1][:200]}); run it by hand to see more"
        )
