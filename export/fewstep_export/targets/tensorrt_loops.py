"""Engines of graphs that hold more of the sampler's loop than the denoiser; they are built from the FP16 graphs of the target ort."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx

from fewstep.manifest import Component, Manifest, Variant
from fewstep.tensorrt.config import BuildConfig
from fewstep.variant import EngineBuild
from fewstep_export.bundle_writer import file_records
from fewstep_export.targets.tensorrt import write_engine

HOST, HALF = "tensorrt-fp16", "fp16"
"""The variants whose loop runs on the host: its engines, and the graphs that these were built from."""


def add_engines(manifest: Manifest, config: BuildConfig, root: Path) -> Manifest:
    """The manifest with an engine variant, "tensorrt-" and its name, for each form of the loop in FP16; it writes the engines.

    What a form shares with the loop on the host, text encoder and decoder, it shares as engines too. Its `verification` is that of its
    graphs.

    Raises:
        FewstepError: TensorRT refuses a graph, or a layer fell back to FP32.
    """
    if config.graphs_only or not any(variant.name == HOST for variant in manifest.variants):
        return manifest
    made = [_variant(form, manifest, config, root) for form in _forms(manifest)]
    return replace(manifest, variants=(*manifest.variants, *made), files=file_records(root))


def _forms(manifest: Manifest) -> Iterator[Variant]:
    for variant in manifest.variants:
        kind = (variant.engine, variant.format, variant.precision)
        if kind == ("onnxruntime", "onnx", "fp16") and variant.name != HALF:
            yield variant


def _variant(form: Variant, manifest: Manifest, config: BuildConfig, root: Path) -> Variant:
    host, half = manifest.variant(HOST), manifest.variant(HALF)
    components: dict[str, Component] = {}
    engines: dict[str, EngineBuild] = {}
    for name, component in form.components.items():
        if component == half.components.get(name):
            components[name], engines[name] = host.components[name], host.engines[name]
            continue
        file = f"tensorrt/{form.name}/{name}.engine"
        engines[name] = write_engine(onnx.load(root / component.file), name, root / file, config).record
        components[name] = replace(component, file=file)
    return replace(
        form,
        name=f"tensorrt-{form.name}",
        engine="tensorrt",
        format="engine",
        components=components,
        engines=engines,
    )
