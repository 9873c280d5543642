"""The target TensorRT: engines in FP16, and with eight-bit products; no GPU is needed with TensorRT-RTX.

What is verified here is the graph that an engine is built from, by an evaluation that rounds as a GPU does; an engine itself is run
by whoever has the GPU (docs/tensorrt.md).
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from fewstep.errors import FewstepError
from fewstep.manifest import Component, Variant, Verification
from fewstep.network import Run
from fewstep.sizes import Sizes
from fewstep.tensorrt.build import Built, build_engine, write_files
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.layers import layers_of
from fewstep.tensorrt.library import load_library, log_of
from fewstep.tensorrt.parse import parse
from fewstep.variant import EngineBuild
from fewstep_export.activation_range import require_fp16_range
from fewstep_export.config import Precision
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import ExportedComponent, to_bytes
from fewstep_export.parity import FP16_TOLERANCE, Check, verify
from fewstep_export.picture_loop import MINIMUM_PSNR
from fewstep_export.session import runner
from fewstep_export.signature import component_record
from fewstep_export.targets.ort import Begin, Build, emulate_fp16, to_fp16
from fewstep_export.tensorrt.audit import require_asked_types
from fewstep_export.tensorrt.qdq import FP8, INT8, EightBits, activation_ranges, quantized
from fewstep_export.tensorrt.sizes import fixed_sides, free_sizes, picture_of

EIGHT_BITS: Mapping[Precision, EightBits] = {"int8": INT8, "fp8": FP8}
PRECISIONS: tuple[Precision, ...] = ("fp16", *EIGHT_BITS)
"""FP32 is no use on a GPU with matrix units."""
EIGHT_BIT_TOLERANCE = 1.0
"""Per evaluation and for the worst number, relative to the largest output: it finds mistakes alone. What eight bits cost is judged on
pictures, and told."""
EIGHT_BIT_MINIMUM_PSNR = 12.0
"""dB. Pictures below it have nothing in common with the original."""
_FLOAT_COMPONENTS = frozenset({"text_encoder"})
"""Run once a picture, and sensitive: they stay in FP16."""


@dataclass(frozen=True)
class _Graph:
    """A component's graph for TensorRT, and what evaluates it here with a device's rounding."""

    model: onnx.ModelProto
    run: Run
    verification: Verification


def build(
    graphs: Sequence[ExportedComponent],
    precisions: Sequence[Precision],
    config: BuildConfig,
    cases: Cases,
    root: Path,
    begin: Begin,
) -> list[Build]:
    """Writes engines under `root`/tensorrt and returns the variants, named "tensorrt-" and the precision.

    Raises:
        ParityError: a graph differs from torch.
        FewstepError: TensorRT is not installed or refuses a graph, a component does not fit FP16, or a layer fell back to FP32.
    """
    if config.timing_cache is not None and load_library().__name__ == "tensorrt_rtx":
        raise FewstepError(
            "expected tensorrt for --timing-cache, found tensorrt_rtx, which measures nothing when it builds; leave the option out"
        )
    builds = []
    pixels, _ = picture_of(cases)
    sizes: Sizes | None = None
    if config.profiles:
        begin("exporting graphs of free sizes")
        sized = free_sizes(graphs, cases, config.profiles)
        graphs, cases, sizes = sized.graphs, sized.cases, sized.sizes
    else:
        graphs = [fixed_sides(graph, cases[graph.component.name][0]) for graph in graphs]
    for precision in (p for p in precisions if p in PRECISIONS):
        begin(f"building TensorRT {precision} engines")
        made = {
            graph.component.name: _eight_bits(graph, cases, EIGHT_BITS[precision])
            if precision in EIGHT_BITS and graph.component.name not in _FLOAT_COMPONENTS
            else _fp16(graph, cases)
            for graph in graphs
        }
        builds.append(_build(precision, made, config, root, pixels, sizes))
    return builds


def write_engine(
    model: onnx.ModelProto, name: str, path: Path, config: BuildConfig, pixels: int = 1
) -> Built:
    """Builds the engine of a graph into a file, and sees to it that nothing fell back to FP32; `pixels` as `build_engine` takes them.

    Raises:
        FewstepError: TensorRT is not installed or refuses the graph, or a layer fell back.
    """
    library = load_library()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"{name}.onnx")
        source.write_bytes(to_bytes(model))
        built = build_engine(library, source, config, pixels=pixels)
        require_asked_types(model, built.layers, name)
        write_files(built, source, path)
    return built


def write_graph(model: onnx.ModelProto, name: str, path: Path) -> None:
    """Writes what an engine would be built from, for a library elsewhere, and sees to it that the one here takes it.

    Raises:
        FewstepError: as `write_engine`.
    """
    library = load_library()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(model))
    log = log_of(library)
    network = parse(library, library.Builder(log), path, log)
    require_asked_types(model, tuple(layers_of(network)), name)


def _build(
    precision: Precision,
    made: Mapping[str, _Graph],
    config: BuildConfig,
    root: Path,
    pixels: int,
    sizes: Sizes | None,
) -> Build:
    components: dict[str, Component] = {}
    engines: dict[str, EngineBuild] = {}
    kind = "onnx" if config.graphs_only else "engine"
    for name, graph in made.items():
        file = f"tensorrt/{precision}/{name}.{kind}"
        if config.graphs_only:
            write_graph(graph.model, name, root / file)
        else:
            engines[name] = write_engine(graph.model, name, root / file, config, pixels).record
        components[name] = component_record(graph.model, file)
    verification = {name: graph.verification for name, graph in made.items()}
    variant = Variant(
        f"tensorrt-{precision}",
        "tensorrt",
        precision,
        kind,
        components,
        verification,
        engines=engines,
        sizes=sizes,
    )
    minimum = MINIMUM_PSNR if precision == "fp16" else EIGHT_BIT_MINIMUM_PSNR
    return Build(variant, {name: graph.run for name, graph in made.items()}, minimum)


def _fp16(graph: ExportedComponent, cases: Cases) -> _Graph:
    name = graph.component.name
    half = to_fp16(graph.model)
    require_fp16_range(graph.model, half, [case.feeds for case in cases[name]], name)
    emulated = emulate_fp16(half)
    run = runner(emulated)
    found = verify(Check(graph, "tensorrt-fp16", run, emulated, FP16_TOLERANCE), cases[name])
    return _Graph(half, run, found)


def _eight_bits(graph: ExportedComponent, cases: Cases, bits: EightBits) -> _Graph:
    """Eight-bit products in an FP16 graph; evaluated here in FP32 around the same eight-bit numbers."""
    name = graph.component.name
    ranges = activation_ranges(graph.model, [case.feeds for case in cases[name]])
    full = quantized(graph.model, ranges, bits)
    run = runner(full)
    found = verify(Check(graph, f"tensorrt-{bits.name}", run, full, EIGHT_BIT_TOLERANCE), cases[name])
    return _Graph(quantized(to_fp16(graph.model), ranges, bits), run, found)
