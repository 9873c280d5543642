"""A bundle with fewer builds, for an app that runs one of them."""

import json
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.manifest import MANIFEST_NAME, Manifest


def write_part(bundle: Bundle, variants: Collection[str], output: Path) -> Bundle:
    """Writes the bundle with those variants alone, the first of them its default; every file is checked on the way.

    Args:
        bundle: whose files are copied.
        variants: names of some of its variants, at least one.
        output: a folder to make.

    Raises:
        IntegrityError: a file of the bundle is not what its manifest says.
        OSError: the folder cannot be written.
    """
    manifest = _part(bundle.manifest, list(variants))
    for name in manifest.files:
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.file(name), target)
    text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False)
    (output / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
    return Bundle.open(output)


def _part(manifest: Manifest, names: list[str]) -> Manifest:
    kept = tuple(manifest.variant(name) for name in names)
    others = [variant for variant in manifest.variants if variant.name not in names]
    dropped = {name for v in others for c in v.components.values() for name in manifest.files_of(c)}
    dropped -= {name for v in kept for c in v.components.values() for name in manifest.files_of(c)}
    # What ONNX Runtime's build script reads lies beside the .ort files, and belongs to no component.
    folders = {Path(c.file).parent for v in others for c in v.components.values()}
    folders -= {Path(c.file).parent for v in kept for c in v.components.values()}
    dropped |= {name for name in manifest.files if Path(name).parent in folders - {Path()}}
    files = {name: record for name, record in manifest.files.items() if name not in dropped}
    return replace(manifest, variants=kept, default_variant=names[0], files=files)
