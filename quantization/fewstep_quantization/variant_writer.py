"""A new variant in a bundle that is there already: whole, or not at all (`fewstep.renewal`)."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from fewstep.bundle import Bundle
from fewstep.manifest import MANIFEST_NAME, FileRecord, Manifest
from fewstep.renewal import renewed
from fewstep.variant import Variant
from fewstep_quantization.pictures import Graphs


@dataclass(frozen=True)
class Draft:
    """The new bundle, whose manifest is not written yet, in a folder that goes away."""

    bundle: Bundle
    name: str

    def variant(self) -> Variant:
        """The new variant."""
        return self.bundle.manifest.variant(self.name)


@contextmanager
def draft(bundle: Bundle, variant: Variant, graphs: Graphs) -> Iterator[Draft]:
    """Makes the bundle with a new variant, which takes the old one's place when the block ends if `commit` was called, else goes away.

    Args:
        bundle: the one to add to.
        variant: the new variant, with the components (files included) of the one that it was made from.
        graphs: its graphs by component; components without one keep the file that they have.

    Raises:
        FewstepError, OSError: as `fewstep.renewal.renewed`.
    """
    with renewed(bundle) as root:
        yield _written(Bundle(root, bundle.manifest), variant, graphs)


def _written(bundle: Bundle, variant: Variant, graphs: Graphs) -> Draft:
    folder = _new_folder(bundle, f"ort/{variant.name}")
    records = {f"{folder}/{name}.onnx": _write(bundle.root, folder, name, g) for name, g in graphs.items()}
    components = {
        name: replace(component, file=f"{folder}/{name}.onnx") if name in graphs else component
        for name, component in variant.components.items()
    }
    manifest = _with(bundle.manifest, replace(variant, components=components), records)
    return Draft(Bundle(bundle.root, manifest), variant.name)


def commit(new: Draft, variant: Variant) -> None:
    """Takes the draft, with this as the record of the new variant and without files that nobody lists any more.

    Raises:
        OSError: the manifest cannot be written.
    """
    root, manifest = new.bundle.root, _with(new.bundle.manifest, variant, {})
    text = manifest.to_text()
    for path in [path for path in root.rglob("*") if path.is_file()]:
        if path.relative_to(root).as_posix() not in manifest.files:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    (root / MANIFEST_NAME).write_text(text, encoding="utf-8")


def _with(manifest: Manifest, variant: Variant, records: Mapping[str, FileRecord]) -> Manifest:
    """The manifest with this variant in the place of one of its name, and without the files that only that one used."""
    others = [v for v in manifest.variants if v.name != variant.name]
    old = {c.file for v in manifest.variants for c in v.components.values()}
    used = {c.file for v in [*others, variant] for c in v.components.values()}
    files = {name: record for name, record in manifest.files.items() if name not in old - used}
    variants = tuple(variant if v.name == variant.name else v for v in manifest.variants)
    if len(others) == len(manifest.variants):
        variants = (*manifest.variants, variant)
    return replace(manifest, variants=variants, files=dict(sorted({**files, **records}.items())))


def _new_folder(bundle: Bundle, wanted: str) -> str:
    """The wanted name, or that with a number, of a folder of which the manifest lists nothing."""
    count, folder = 1, wanted
    while any(name.startswith(f"{folder}/") for name in bundle.manifest.files):
        count += 1
        folder = f"{wanted}.{count}"
    return folder


def _write(root: Path, folder: str, name: str, graph: onnx.ModelProto) -> FileRecord:
    data = graph.SerializeToString(deterministic=True)
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / f"{name}.onnx").write_bytes(data)
    return FileRecord(hashlib.sha256(data).hexdigest(), len(data))
