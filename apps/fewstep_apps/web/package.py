"""`fewstep package --app web`: the built app, a bundle in it, and what ties the two together."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.records import to_json
from fewstep.variant import Variant
from fewstep_apps import licences, variants
from fewstep_apps.config import PackageConfig
from fewstep_apps.folder import whole
from fewstep_apps.web.parts import PartedFile, cut

SITE = Path(__file__).parent / "site"
"""The app as Vite builds it; the wheel has it, a checkout after `make apps`."""

RUNTIME = "ort/ort-wasm-simd-threaded.wasm"
"""What a browser without WebGPU loads of ONNX Runtime."""

_HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
"""  # read by some hosts; elsewhere the service worker sets them, from the second page on


@dataclass(frozen=True)
class WebPackage:
    """A package that was written.

    Attributes:
        output: its folder.
        variants: the builds inside, the first first.
        first_load: bytes over the wire of a first visit: the app, ONNX Runtime for WebAssembly, the first build.
    """

    output: Path
    variants: tuple[str, ...]
    first_load: int


def package_web(config: PackageConfig, site: Path = SITE) -> WebPackage:
    """Writes the folder, whole or not at all.

    Raises:
        FewstepError: the app was not built, or it cannot run the bundle.
        IntegrityError: a file of the bundle is not what its manifest says.
    """
    if not (site / "index.html").is_file():
        raise FewstepError(
            f"expected the built web app, found none, at {site}; run `make apps` in a checkout, or install the wheel"
        )
    bundle = Bundle.open(config.bundle)
    chosen = _chosen(bundle, config.variants)
    with whole(config.output) as folder:
        return _write(bundle, chosen, config, site, folder)


def _chosen(bundle: Bundle, names: Sequence[str]) -> list[Variant]:
    """The variants of those names; or the smallest one, and that in FP16 beside it, whose denoiser is tried where WebGPU is."""
    found = variants.chosen(bundle, names, variants.BROWSER)
    if names:
        return found
    fit = [v for v in bundle.manifest.variants if variants.refusal(bundle, v, variants.BROWSER) is None]
    return [*found, *(v for v in fit if v.precision == "fp16" and v not in found)]


def _write(
    bundle: Bundle, chosen: list[Variant], config: PackageConfig, site: Path, folder: Path
) -> WebPackage:
    """Everything into a folder that does not exist."""
    manifest, title = bundle.manifest, config.title or bundle.manifest.name
    shutil.copytree(site, folder, ignore=shutil.ignore_patterns("*.wasm"))
    sources = {f"ort/{path.name}": path for path in sorted((site / "ort").glob("*.wasm"))}
    names = [record.file for record in manifest.tokenizers]
    names += [c.file for variant in chosen for c in variant.components.values()]
    sources |= {name: bundle.file(name) for name in names}
    files = {name: cut(path.read_bytes(), folder) for name, path in sources.items()}

    (folder / "bundle").mkdir()
    shutil.copyfile(bundle.root / "manifest.json", folder / "bundle" / "manifest.json")
    (folder / "licences.html").write_text(licences.page(title, manifest.licences), encoding="utf-8")
    (folder / "_headers").write_text(_HEADERS, encoding="utf-8")
    web = json.loads((folder / "app.webmanifest").read_text(encoding="utf-8"))
    (folder / "app.webmanifest").write_text(
        json.dumps(web | {"name": title, "short_name": title}), encoding="utf-8"
    )
    _finish(folder, title, tuple(variant.name for variant in chosen), files)
    needed = {RUNTIME, *(r.file for r in manifest.tokenizers)}
    needed |= {c.file for c in chosen[0].components.values()}
    return WebPackage(
        config.output, tuple(v.name for v in chosen), _shell_bytes(folder) + _wire(files, needed)
    )


def _finish(folder: Path, title: str, names: tuple[str, ...], files: dict[str, PartedFile]) -> None:
    """app.json, and the version of the service worker, which makes browsers take a changed package."""
    app = {"title": title, "variants": names, "files": {name: to_json(file) for name, file in files.items()}}
    shell = [path.relative_to(folder).as_posix() for path in _shell(folder)]
    digest = hashlib.sha256(json.dumps(app, sort_keys=True).encode())
    for path in _shell(folder):
        digest.update(path.read_bytes())
    version = digest.hexdigest()[:16]
    text = json.dumps({"version": version, "shell": ["./", "app.json", *shell], **app}, indent=1)
    (folder / "app.json").write_text(text + "\n", encoding="utf-8")
    worker = folder / "sw.js"
    worker.write_text(worker.read_text(encoding="utf-8").replace("__VERSION__", version), encoding="utf-8")


def _shell(folder: Path) -> list[Path]:
    """The files that the service worker keeps: all but model parts, itself, and what only servers read."""
    skipped = {"sw.js", "_headers", "app.json"}
    found = (p for p in folder.rglob("*") if p.is_file() and p.parent.name != "parts")
    return sorted(path for path in found if path.name not in skipped)


def _shell_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in [*_shell(folder), folder / "sw.js", folder / "app.json"])


def _wire(files: dict[str, PartedFile], names: set[str]) -> int:
    return sum(part.bytes for name in names for part in files[name].parts)
