"""`fewstep package --app android`: an APK around the web app, and the native app as a Gradle project; both with the bundle inside."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep_apps import licences, variants
from fewstep_apps.android import apk, ort_graphs
from fewstep_apps.android.words import identifier, strings
from fewstep_apps.bundle_part import write_part
from fewstep_apps.config import PackageConfig
from fewstep_apps.folder import whole
from fewstep_apps.projects import copied
from fewstep_apps.web.package import SITE, package_web

PROJECT = Path(__file__).parent / "native"
"""The native app in Kotlin."""


@dataclass(frozen=True)
class AndroidPackage:
    """A package that was written.

    Attributes:
        output: its folder.
        variant: the build in the native app.
        apk: the signed APK; None where the tools for it are missing.
        missing: how to get these tools; None where they are here.
    """

    output: Path
    variant: str
    apk: Path | None
    missing: str | None


def package_android(
    config: PackageConfig, site: Path = SITE, keystore: Path = apk.KEYSTORE
) -> AndroidPackage:
    """Writes the folder, whole or not at all.

    Args:
        config: what is packaged; the APK takes the builds that browsers can run.
        site: the built web app.
        keystore: the key of the APK, with the passwords of an Android SDK's debug key.

    Raises:
        FewstepError: the web app was not built, or one of the apps cannot run the bundle, or a tool fails.
        IntegrityError: a file of the bundle is not what its manifest says.
    """
    bundle = Bundle.open(config.bundle)
    (variant, *_) = variants.chosen(bundle, config.variants, variants.ANDROID)
    title, missing = config.title or bundle.manifest.name, apk.missing()
    with whole(config.output) as folder:
        folder.mkdir()
        _project(bundle, variant.name, title, site, folder / "native")
        if missing is None:
            name = f"{bundle.manifest.name}.apk"
            _apk(replace(config, title=title), bundle, site, keystore, folder / name)
    made = None if missing else config.output / name
    return AndroidPackage(config.output, variant.name, made, missing)


def _apk(config: PackageConfig, bundle: Bundle, site: Path, keystore: Path, output: Path) -> None:
    names = tuple(v.name for v in variants.chosen(bundle, config.variants, variants.BROWSER))
    with tempfile.TemporaryDirectory() as temporary:
        web = replace(config, app="web", output=Path(temporary) / "site", variants=names)
        package_web(web, site)
        icon, title = site / "icon-512.png", config.title or bundle.manifest.name
        apk.build(apk.Apk(web.output, bundle.manifest.name, title, icon, keystore), output)


def _project(bundle: Bundle, variant: str, title: str, site: Path, folder: Path) -> None:
    """The Gradle project with the bundle, in ONNX Runtime's own format, among its assets."""
    copied(PROJECT, folder)
    main = folder / "app" / "src" / "main"
    (main / "assets").mkdir(exist_ok=True)
    ort_graphs.convert(write_part(bundle, [variant], main / "assets" / "bundle"))
    (main / "assets" / "licences.html").write_text(
        licences.page(title, bundle.manifest.licences, licences.SOFTWARE_OF_ANDROID, back=False),
        encoding="utf-8",
    )
    (main / "res" / "values" / "strings.xml").write_text(strings(title), encoding="utf-8")
    (main / "res" / "drawable-xxxhdpi").mkdir(exist_ok=True)
    shutil.copyfile(site / "icon-512.png", main / "res" / "drawable-xxxhdpi" / "icon.png")
    with (folder / "gradle.properties").open("a", encoding="utf-8") as properties:
        properties.write(f"fewstep.applicationId=fewstep.app.{identifier(bundle.manifest.name)}\n")
