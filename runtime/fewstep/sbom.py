"""A bill of materials in CycloneDX (https://cyclonedx.org, version 1.6, JSON): what is in a bundle, by SHA-256, and under which licence.

Needs the extra `sbom`.
"""

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fewstep.errors import FewstepError
from fewstep.manifest import FileRecord, Manifest

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

_NAMESPACE = uuid.UUID("7c1f1d5c-0000-5000-8000-66657773746b")


def bill_of_bundle(manifest: Manifest) -> str:
    """The bill of a bundle as JSON; the same bundle always gives the same text.

    Raises:
        FewstepError: the package cyclonedx-python-lib is missing.
    """
    graphs = {c.file for variant in manifest.variants for c in variant.components.values()}
    bom = new_bill(manifest.name, f"sha256:{manifest.digest}", "machine-learning-model", manifest.digest)
    main = bom.metadata.component
    assert main is not None
    for licence in manifest.licences:
        main.components.add(licensed(licence.what, licence.licence, licence.credit))
    parts = [file_of(name, record, name in graphs) for name, record in manifest.files.items()]
    for part in parts:
        bom.components.add(part)
    for package, version in manifest.provenance.versions.items():
        main.properties.add(_property(f"fewstep:made-with:{package}", version))
    main.properties.add(_property("fewstep:checkpoint-sha256", manifest.provenance.checkpoint_sha256))
    bom.register_dependency(main, parts)
    return to_text(bom)


def new_bill(name: str, version: str, kind: str, digest: str) -> "Bom":
    """An empty bill of a thing; `digest` names it, and makes its serial number.

    Raises:
        FewstepError: the package cyclonedx-python-lib is missing.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
    except ImportError:
        raise FewstepError(
            "expected the package cyclonedx-python-lib for a bill of materials, found none; install fewstep[sbom]"
        ) from None
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, digest))
    bom.metadata.component = Component(
        type=ComponentType(kind), name=name, version=version, bom_ref=f"{name}@{version}"
    )
    return bom


def file_of(name: str, record: FileRecord, model: bool = False) -> "Component":
    """A file with its SHA-256 and size."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    component = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL if model else ComponentType.FILE,
        name=name,
        bom_ref=f"file:{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=record.sha256)],
    )
    component.properties.add(_property("fewstep:bytes", str(record.bytes)))
    return component


def licensed(what: str, licence: str, credit: str) -> "Component":
    """Something that a licence covers, and whom to credit."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=ComponentType.DATA,
        name=what,
        bom_ref=f"licence:{what}",
        copyright=credit,
        licenses=[LicenseFactory().make_from_string(licence)],
    )


def package_of(registry: str, name: str, version: str, licence: str) -> "Component":
    """A package of a registry, like npm's."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    namespace, _, short = name.rpartition("/")
    url = PackageURL(type=registry, namespace=namespace or None, name=short, version=version)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=str(url),
        purl=url,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def to_text(bom: "Bom") -> str:
    """The bill as JSON, without a time: the same contents give the same text."""
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    value: Mapping[str, object] = json.loads(text)
    metadata = value["metadata"]
    assert isinstance(metadata, dict)
    metadata.pop("timestamp", None)
    return json.dumps(value, indent=1, ensure_ascii=False)


def _property(name: str, value: str) -> "Property":
    from cyclonedx.model import Property

    return Property(name=name, value=value)
