"""`fewstep package --app ios`: an Xcode project with the app, the Swift package and the bundle's Core ML programs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fewstep.bundle import Bundle
from fewstep.records import to_json
from fewstep.variant import Variant
from fewstep_apps import licences, variants
from fewstep_apps.bundle_part import write_part
from fewstep_apps.config import PackageConfig
from fewstep_apps.folder import whole
from fewstep_apps.ios.xcode import Project, pbxproj
from fewstep_apps.projects import copied
from fewstep_apps.web.package import SITE

PROJECT = Path(__file__).parent / "project"
"""The app in SwiftUI and its Swift package."""

_ICON = 1024  # pixels of the one size that Xcode asks for


@dataclass(frozen=True)
class IosPackage:
    """A package that was written: its folder, the Xcode project in it, and the build of the bundle."""

    output: Path
    project: Path
    variant: str


def package_ios(config: PackageConfig, site: Path = SITE) -> IosPackage:
    """Writes the folder, whole or not at all.

    Args:
        config: what is packaged; the app takes one build for Core ML.
        site: the built web app, whose icon is taken.

    Raises:
        FewstepError: the app cannot run the bundle.
        IntegrityError: a file of the bundle is not what its manifest says.
    """
    bundle = Bundle.open(config.bundle)
    (variant, *_) = variants.chosen(bundle, config.variants, variants.IOS)
    title, name = config.title or bundle.manifest.name, _word(bundle.manifest.name)
    with whole(config.output) as folder:
        copied(PROJECT, folder)
        _bundle(bundle, variant, folder)
        sections = {"The model": bundle.manifest.licences, "The software": licences.SOFTWARE_OF_IOS}
        text = json.dumps({name: to_json(entries) for name, entries in sections.items()}, ensure_ascii=False)
        (folder / "licences.json").write_text(text, encoding="utf-8")
        _icon(site / "icon-512.png", folder / "App" / "Assets.xcassets" / "AppIcon.appiconset" / "icon.png")
        found = [*folder.glob("App/*.swift"), *folder.glob("Programs/*")]
        files = sorted(path.relative_to(folder).as_posix() for path in found)
        files += ["App/Assets.xcassets", "Bundle", "licences.json"]
        project = Project(name, title, f"app.fewstep.{name}", tuple(files), "Fewstep")
        xcode = folder / f"{name}.xcodeproj"
        xcode.mkdir()
        (xcode / "project.pbxproj").write_text(pbxproj(project), encoding="utf-8")
    return IosPackage(config.output, config.output / xcode.name, variant.name)


def _bundle(bundle: Bundle, variant: Variant, folder: Path) -> None:
    """Manifest and tokenizers in Bundle, which is copied into the app; graphs in Programs, which Xcode compiles into it."""
    root = write_part(bundle, [variant.name], folder / "Bundle").root
    (folder / "Programs").mkdir()
    for component in variant.components.values():
        graph = root / component.file
        graph.rename(folder / "Programs" / graph.name)
    for path in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def _icon(source: Path, target: Path) -> None:
    """The icon in the one size that Xcode asks for, and without alpha, which it refuses."""
    with Image.open(source) as icon:
        clear = icon.convert("RGBA").resize((_ICON, _ICON), Image.Resampling.LANCZOS)
    opaque = Image.new("RGBA", clear.size, "#fbf7f2")
    opaque.alpha_composite(clear)
    opaque.convert("RGB").save(target)


def _word(name: str) -> str:
    """A name as a part of a bundle identifier: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "fewstep"
