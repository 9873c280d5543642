"""Engines for this machine out of a bundle's ONNX graphs: a bundle of its own in a cache, built once for each content and each GPU."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewstep import atomic
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME, FileRecord, Manifest, Variant
from fewstep.sizes import Sizes
from fewstep.tensorrt.build import build_engine, write_files
from fewstep.tensorrt.config import BuildConfig
from fewstep.variant import EngineBuild

CACHE = Path("~/.cache/fewstep/engines").expanduser()
"""Where engines are kept if nobody says otherwise."""
OnComponent = Callable[[str, str, int, int], None]
"""(component, phase of the builder, steps done, steps in all)"""


@dataclass(frozen=True)
class Target:
    """What engines are built with and for: the library and the compute capability of the GPU that is here ("" without one)."""

    library: Any
    compute_capability: str = ""


_FORMS = ("fused, hoisted", "fused", "host, hoisted", "host")
"""The more of the loop is in a graph, the less is done outside of the GPU; an unrolled graph is for one table alone."""


def source_variant(manifest: Manifest, name: str | None = None) -> Variant:
    """The variant to build from: the named one, or the FP16 one of ONNX graphs with the most of the loop inside.

    Raises:
        FewstepError: there is no such variant, or it holds no ONNX graphs.
    """
    wanted = [
        v for v in manifest.variants if v.format == "onnx" and v.precision == "fp16" and v.form in _FORMS
    ]
    wanted.sort(key=lambda v: _FORMS.index(v.form))
    chosen = manifest.variant(name) if name else next(iter(wanted), None)
    if chosen is None or chosen.format != "onnx":
        raise FewstepError(
            f"expected a variant of ONNX graphs in FP16, found {name or 'none'}, in bundle '{manifest.name}'; export it with "
            "--target ort --precision fp16"
        )
    return chosen


def with_engines(
    bundle: Bundle,
    target: Target,
    cache: Path,
    config: BuildConfig,
    variant: str | None = None,
    on_component: OnComponent = lambda _name, _phase, _done, _total: None,
) -> Path:
    """The folder of a bundle like this one with the one variant "tensorrt-PRECISION"; found in the cache, or built into it.

    Args:
        bundle: with ONNX graphs.
        target: of the build.
        cache: a folder of this machine; timing caches lie in it too.
        config: how engines are built; without profiles, graphs of free sizes have those that they were exported with.
        variant: to build from; see `source_variant`.
        on_component: told of the progress.

    Raises:
        FewstepError: the bundle has no such graphs, is broken, or cannot be built; another process is building the same.
    """
    source = source_variant(bundle.manifest, variant)
    sizes = _sizes(source, config, bundle.manifest)
    config = replace(config, profiles=sizes.profiles if sizes else ())
    source = replace(source, sizes=sizes)
    key = _key(bundle, source, target, config)
    output = cache / f"{bundle.manifest.name}-{key[:16]}.fewstep"
    with atomic.sole_writer(output):
        return _found_or_built(bundle, source, target, config, output, on_component)


def _found_or_built(
    bundle: Bundle,
    source: Variant,
    target: Target,
    config: BuildConfig,
    output: Path,
    on_component: OnComponent,
) -> Path:
    if (output / MANIFEST_NAME).is_file():
        try:
            found = Bundle.open(output)
            found.verify()
            return output
        except FewstepError:  # cut off, or a disk that forgets: built again
            shutil.rmtree(output)
    cache = output.parent
    staging = cache / f".{output.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        timed = replace(config, timing_cache=config.timing_cache or cache / "timing.cache")
        _write(bundle, source, target, timed, staging, on_component)
        staging.rename(output)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return output


def _sizes(source: Variant, config: BuildConfig, manifest: Manifest) -> Sizes | None:
    """The sizes that the engines shall draw; None for graphs of one size."""
    if source.sizes is None:
        if config.profiles:
            raise FewstepError(
                f"expected graphs of free sizes for --profile, found variant '{source.name}' for {manifest.image.size} pixels alone; "
                "export it with --target tensorrt --graphs-only --profile"
            )
        return None
    for profile in config.profiles:
        for size in profile.sizes():  # others were not compared with torch
            source.sizes.require(size, f"the graphs of variant '{source.name}'")
    return replace(source.sizes, profiles=config.profiles or source.sizes.profiles)


def _key(bundle: Bundle, source: Variant, target: Target, config: BuildConfig) -> str:
    """The SHA-256 of everything that an engine depends on."""
    files = bundle.manifest.files
    graphs = {
        name: [files[file].sha256 for file in bundle.manifest.files_of(component)]
        for name, component in source.components.items()
    }
    made_of = [
        graphs,
        target.library.__name__,
        target.library.__version__,
        target.compute_capability,
        dict(config.options()),
    ]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _write(
    bundle: Bundle,
    source: Variant,
    target: Target,
    config: BuildConfig,
    root: Path,
    on_component: OnComponent,
) -> None:
    kept = {tokenizer.file for tokenizer in bundle.manifest.tokenizers} | {"LICENCES.md"}
    files: dict[str, FileRecord] = {}
    for name in kept & bundle.manifest.files.keys():
        shutil.copyfile(bundle.file(name), root / name)
        files[name] = bundle.manifest.files[name]
    components, engines = {}, dict[str, EngineBuild]()
    pixels = bundle.manifest.latent.pixels(bundle.manifest.image)
    for name, component in source.components.items():

        def on_progress(phase: str, done: int, total: int, name: str = name) -> None:
            on_component(name, phase, done, total)

        graph = bundle.graph(component)
        built = build_engine(target.library, graph, config, on_progress, pixels)
        file = f"tensorrt/{source.precision}/{name}.engine"
        for path in write_files(built, graph, root / file):
            content = path.read_bytes()
            record = FileRecord(hashlib.sha256(content).hexdigest(), len(content))
            files[path.relative_to(root).as_posix()] = record
        components[name], engines[name] = replace(component, file=file), built.record
    made = Variant(
        f"tensorrt-{source.precision}",
        "tensorrt",
        source.precision,
        "engine",
        components,
        source.verification,
        source.loop,
        engines=engines,
        sizes=source.sizes,
    )
    manifest = replace(bundle.manifest, variants=(made,), default_variant=made.name, files=files)
    (root / MANIFEST_NAME).write_text(manifest.to_text(), encoding="utf-8")
