"""The target ONNX Runtime: .onnx graphs in FP32 and FP16, and .ort files for reduced builds of the runtime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnx_ir as ir

from fewstep.manifest import Variant, Verification
from fewstep.network import Run
from fewstep_export.activation_range import require_fp16_range
from fewstep_export.config import Precision
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import ExportedComponent, check, to_bytes
from fewstep_export.ort_format import convert_folder
from fewstep_export.parity import FP16_TOLERANCE, FP32_TOLERANCE, Check, verify
from fewstep_export.passes.emulate_fp16 import EmulateFp16
from fewstep_export.passes.fp16 import ToFp16
from fewstep_export.picture_loop import MINIMUM_PSNR, MINIMUM_PSNR_FP32
from fewstep_export.session import runner
from fewstep_export.signature import component_record

Begin = Callable[[str], None]
"""Called with what begins now."""


@dataclass(frozen=True)
class Build:
    """A variant whose components are verified.

    ``emulation`` evaluates the components as a device with the variant's precision does; it is empty where this machine is such one.
    Its pictures may not be worse than ``minimum_psnr`` (dB).
    """

    variant: Variant
    emulation: Mapping[str, Run]
    minimum_psnr: float


def stages(precisions: Sequence[Precision]) -> int:
    """How often `build` calls `begin`."""
    return ("fp16" in precisions) + ("fp32" in precisions)


def build(
    graphs: Sequence[ExportedComponent],
    precisions: Sequence[Precision],
    cases: Cases,
    root: Path,
    begin: Begin,
) -> list[Build]:
    """Writes the graphs under `root`/ort and returns the variants, the default one first.

    Raises:
        ParityError: a component differs from torch.
        FewstepError: a component does not fit FP16, or cannot be converted.
    """
    builds = []
    if "fp32" in precisions:
        begin("verifying fp32 and converting to .ort")
        fp32 = _fp32(graphs, cases, root)
        builds += [fp32, _ort(fp32, graphs, cases, root)]
    if "fp16" in precisions:
        begin("lowering to fp16 and verifying")
        builds.append(_fp16(graphs, cases, root))
    return builds


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The FP16 graph of an FP32 graph."""
    half = ir.serde.serialize_model(ToFp16()(ir.serde.deserialize_model(model)).model)
    check(half)
    return half


def emulate_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The FP32 graph that computes what the FP16 graph does."""
    return ir.serde.serialize_model(EmulateFp16()(ir.serde.deserialize_model(model)).model)


def _fp32(graphs: Sequence[ExportedComponent], cases: Cases, root: Path) -> Build:
    variant = _write("fp32", "fp32", {graph.component.name: graph.model for graph in graphs}, root)
    checks = [
        Check(graph, "fp32", runner(_path(root, variant, graph)), graph.model, FP32_TOLERANCE)
        for graph in graphs
    ]
    return Build(replace(variant, verification=_verified(checks, cases)), {}, MINIMUM_PSNR_FP32)


def _ort(fp32: Build, graphs: Sequence[ExportedComponent], cases: Cases, root: Path) -> Build:
    """The FP32 graphs converted."""
    convert_folder(root / "ort/fp32", root / "ort/fp32-ort")
    components = {
        name: replace(record, file=f"ort/fp32-ort/{name}.ort")
        for name, record in fp32.variant.components.items()
    }
    variant = replace(fp32.variant, name="fp32-ort", format="ort", components=components)
    checks = [
        Check(graph, "fp32-ort", runner(_path(root, variant, graph)), graph.model, FP32_TOLERANCE)
        for graph in graphs
    ]
    return Build(replace(variant, verification=_verified(checks, cases)), {}, MINIMUM_PSNR_FP32)


def _fp16(graphs: Sequence[ExportedComponent], cases: Cases, root: Path) -> Build:
    """FP16 graphs, verified through their emulation: ONNX Runtime on x86 would round nothing."""
    models = {graph.component.name: to_fp16(graph.model) for graph in graphs}
    for graph in graphs:
        name = graph.component.name
        require_fp16_range(graph.model, models[name], [case.feeds for case in cases[name]], name)
    emulated = {name: emulate_fp16(model) for name, model in models.items()}
    runs = {name: runner(model) for name, model in emulated.items()}
    checks = [
        Check(graph, "fp16", runs[graph.component.name], emulated[graph.component.name], FP16_TOLERANCE)
        for graph in graphs
    ]
    verification = _verified(checks, cases)
    return Build(replace(_write("fp16", "fp16", models, root), verification=verification), runs, MINIMUM_PSNR)


def _verified(checks: Sequence[Check], cases: Cases) -> Mapping[str, Verification]:
    return {
        check.exported.component.name: verify(check, cases[check.exported.component.name]) for check in checks
    }


def _write(name: str, precision: str, models: Mapping[str, onnx.ModelProto], root: Path) -> Variant:
    """Writes the graphs of a variant; its verification is still empty."""
    folder = root / "ort" / name
    folder.mkdir(parents=True)
    components = {}
    for component, model in models.items():
        file = folder / f"{component}.onnx"
        file.write_bytes(to_bytes(model))
        components[component] = component_record(model, file.relative_to(root).as_posix())
    return Variant(name, "onnxruntime", precision, "onnx", components)


def _path(root: Path, variant: Variant, graph: ExportedComponent) -> Path:
    return root / variant.components[graph.component.name].file
