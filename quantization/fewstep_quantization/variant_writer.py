"""A new variant in a bundle that is there already: whole, or not at all.

The files go under names that the manifest does not list; the manifest is then replaced in one step, and only after that do files go
away that no variant lists any more. A reader sees the old bundle or the new one.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from fewstep import atomic
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME, FileRecord, Manifest
from fewstep.variant import Variant
from fewstep_quantization.pictures import Graphs


@dataclass(frozen=True)
class Draft:
    """A bundle with the new variant in it, whose manifest is not written yet."""

    bundle: Bundle
    name: str

    def variant(self) -> Variant:
        """The new variant."""
        return self.bundle.manifest.variant(self.name)


@contextmanager
def draft(bundle: Bundle, variant: Variant, graphs: Graphs) -> Iterator[Draft]:
    """Writes the graphs of a variant; what `commit` does not take into the bundle is gone when the block ends.

    Args:
        bundle: the one to add to.
        variant: the new variant, with the components (files included) of the one that it was made from.
        graphs: its graphs by component; components without one keep the file that they have.

    Raises:
        FewstepError: another process is writing the bundle, or has written it since it was opened.
        OSError: the files cannot be written.
    """
    with atomic.sole_writer(bundle.root.absolute()):
        if Bundle.open(bundle.root).manifest != bundle.manifest:
            raise FewstepError(
                f"expected the bundle as it was when it was opened, found another, at {bundle.root}; begin again"
            )
        yield from _draft(bundle, variant, graphs)


def _draft(bundle: Bundle, variant: Variant, graphs: Graphs) -> Iterator[Draft]:
    folder = _new_folder(bundle, f"ort/{variant.name}")
    try:
        records = {
            f"{folder}/{name}.onnx": _write(bundle.root, folder, name, g) for name, g in graphs.items()
        }
        components = {
            name: replace(component, file=f"{folder}/{name}.onnx") if name in graphs else component
            for name, component in variant.components.items()
        }
        manifest = _with(bundle.manifest, replace(variant, components=components), records)
        yield Draft(Bundle(bundle.root, manifest), variant.name)
    finally:
        listed = Bundle.open(bundle.root).manifest.files
        if not any(name.startswith(f"{folder}/") for name in listed):
            shutil.rmtree(bundle.root / folder, ignore_errors=True)


def commit(new: Draft, variant: Variant) -> None:
    """Makes the draft the bundle, with this as the record of the new variant; removes files that nobody lists any more.

    Raises:
        OSError: the manifest cannot be written.
    """
    root, old = new.bundle.root, Bundle.open(new.bundle.root).manifest
    manifest = _with(new.bundle.manifest, variant, {})
    text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False) + "\n"
    atomic.write_bytes(root / MANIFEST_NAME, text.encode())
    for name in old.files.keys() - manifest.files.keys():
        (root / name).unlink(missing_ok=True)
        if not any((root / name).parent.iterdir()):
            (root / name).parent.rmdir()


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
    """The wanted name, or that with a number, of a folder of which the manifest lists nothing; what is left there is removed."""
    count, folder = 1, wanted
    while any(name.startswith(f"{folder}/") for name in bundle.manifest.files):
        count += 1
        folder = f"{wanted}.{count}"
    shutil.rmtree(bundle.root / folder, ignore_errors=True)
    return folder


def _write(root: Path, folder: str, name: str, graph: onnx.ModelProto) -> FileRecord:
    data = graph.SerializeToString(deterministic=True)
    atomic.write_bytes(root / folder / f"{name}.onnx", data)
    return FileRecord(hashlib.sha256(data).hexdigest(), len(data))
