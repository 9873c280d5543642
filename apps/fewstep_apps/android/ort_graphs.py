"""ONNX graphs to ONNX Runtime's own format, which loads without optimising again, by ONNX Runtime itself."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.manifest import MANIFEST_NAME, Component, FileRecord


def convert(bundle: Bundle) -> Bundle:
    """The same bundle with every ONNX graph replaced by a .ort file, in place; graphs in FP16 stay as they are.

    Graphs are optimised for ARM as ONNX Runtime's converter does: INT8 as signed numbers, no blocked layouts of x86. A machine that computes
    FP16 in FP32 would save such graphs with weights in FP32.

    Args:
        bundle: a copy that nobody else uses.
    """
    files, variants = dict(bundle.manifest.files), []
    for variant in bundle.manifest.variants:
        if variant.precision == "fp16":
            variants.append(variant)
            continue
        components: dict[str, Component] = {}
        for name, component in variant.components.items():
            source = bundle.root / component.file
            if source.suffix == ".onnx":
                target = source.with_suffix(".ort")
                _save(source, target)
                source.unlink()
                files.pop(component.file, None)
                path, content = target.relative_to(bundle.root).as_posix(), target.read_bytes()
                files[path] = FileRecord(hashlib.sha256(content).hexdigest(), len(content))
                component = replace(component, file=path)
            components[name] = component
        variants.append(replace(variant, components=components, format="ort"))
    manifest = replace(bundle.manifest, variants=tuple(variants), files=files)
    text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False)
    (bundle.root / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
    return Bundle.open(bundle.root)


def _save(source: Path, target: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = (
        3  # it warns that the file suits this machine, of which the blocked layouts are left out
    )
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    onnxruntime.InferenceSession(
        source, options, providers=["CPUExecutionProvider"], disabled_optimizers=["NchwcTransformer"]
    )
