"""A bill of materials of a packaged app: its files by SHA-256, the model in it, and the software that it brings."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.manifest import FileRecord
from fewstep.sbom import file_of, licensed, new_bill, package_of, to_text
from fewstep_apps.config import PackageConfig
from fewstep_apps.licences import SOFTWARE, SOFTWARE_OF_IOS

LOCK = Path(__file__).parents[1] / "web" / "package-lock.json"
"""What npm put into the web app, in a checkout; a wheel has the built app alone."""


def bill_of_package(config: PackageConfig) -> str:
    """The bill of the package at `config.output` as CycloneDX JSON.

    Raises:
        FewstepError: the package cyclonedx-python-lib is missing, or the bundle is wrong.
    """
    manifest = Bundle.open(config.bundle).manifest
    records = dict(sorted(_records(config.output)))
    digest = hashlib.sha256(
        json.dumps({name: record.sha256 for name, record in records.items()}).encode()
    ).hexdigest()
    bom = new_bill(f"{manifest.name}-{config.app}", f"sha256:{digest}", "application", digest)
    main = bom.metadata.component
    assert main is not None
    for licence in (*manifest.licences, *(SOFTWARE_OF_IOS if config.app == "ios" else SOFTWARE)):
        main.components.add(licensed(licence.what, licence.licence, licence.credit))
    parts = [file_of(name, record) for name, record in records.items()]
    if config.app in ("web", "android"):
        parts += [package_of("npm", name, version, licence) for name, version, licence in _npm(LOCK)]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(main, parts)
    return to_text(bom)


def _records(root: Path) -> Iterator[tuple[str, FileRecord]]:
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            yield path.relative_to(root).as_posix(), FileRecord(sha256, path.stat().st_size)


def _npm(lock: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of every package that is in the app, not only used to build it."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"] if lock.is_file() else {}
    for path, package in packages.items():
        if path and not package.get("dev"):
            yield path.rpartition("node_modules/")[2], package["version"], package.get("license", "")
