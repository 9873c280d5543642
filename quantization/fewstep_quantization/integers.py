"""The schemes that multiply in integers: what is calibrated, what stays in float and why, and the graphs that come of it."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import onnx

from fewstep.loop_form import NETWORKS
from fewstep_quantization.affine import Range
from fewstep_quantization.building import Build, Inputs, OnProgress
from fewstep_quantization.calibration.collect import Histograms, collect
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.pictures import Source
from fewstep_quantization.schemes.dynamic_int8 import to_dynamic_int8
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.weight_only import to_weight_only
from fewstep_quantization.search import Budget, Point, measure_points, undominated, within
from fewstep_quantization.sensitivity import LayerError, layer_errors
from fewstep_quantization.static_graph import StaticGraph, one_row_weights, ranges_of
from fewstep_quantization.trajectory import record

DECODER = "decoder"
_PICTURES_SEARCHED, _CALLS_SEARCHED = 3, 8


def build_integers(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """The denoiser and the decoder in W8A8; the text encoder, one evaluation a picture, gets 8-bit weights alone."""
    name = NETWORKS[inputs.variant.loop.form]
    graphs = {other: graph for other, graph in inputs.graphs.items() if other != name}
    if "text_encoder" in graphs:
        graphs["text_encoder"] = to_int8_embeddings(to_weight_only(graphs["text_encoder"], 8))
    denoiser = StaticGraph.of(inputs.graphs[name], config.exclude)
    if config.scheme == "int8-dynamic":
        return _dynamic(graphs, name, denoiser)
    if config.migration:
        seen = _collect(inputs, {name: denoiser}, "looking for outliers", on_progress)
        denoiser = denoiser.migrated(seen[name], config.migration)
    decoder = StaticGraph.of(graphs[DECODER], config.exclude)
    found = _collect(inputs, {name: denoiser, DECODER: decoder}, "calibrating", on_progress)
    ranges = {component: ranges_of(h, config.observer) for component, h in found.items()}
    wide = denoiser.noisy(found[name], config.observer, config.noise)
    points: list[Point] = []
    chosen, costly = None, dict[str, str]()
    if config.budget != Budget():
        errors, points = _searched(config, inputs, name, denoiser, ranges[name], wide, on_progress)
        chosen = within(points, config.budget)
        costly = {layer: f"costs {errors[layer].error:.3f} of the output" for layer in chosen.float_layers}
    graphs[name] = denoiser.quantised(ranges[name], costly, wide)
    graphs[DECODER] = decoder.quantised(ranges[DECODER])
    reasons = {name: {**denoiser.reasons, **costly}, DECODER: decoder.reasons}
    return Build(graphs, reasons, tuple(undominated(points)), chosen, wide - costly.keys())


def _dynamic(graphs: dict[str, onnx.ModelProto], name: str, denoiser: StaticGraph) -> Build:
    """Ranges found at run time; there is no such operator for convolutions that pays (`ConvInteger`), so those stay float."""
    convolutions = {layer.name: "no dynamic kernel that pays" for layer in find_convolutions(denoiser.graph)}
    reasons = {**denoiser.reasons, **convolutions}
    graph = one_row_weights(to_dynamic_int8(denoiser.graph, reasons), reasons)
    return Build({**graphs, name: graph}, {name: reasons})


def _searched(
    config: QuantizeConfig,
    inputs: Inputs,
    name: str,
    denoiser: StaticGraph,
    ranges: Mapping[str, Range],
    wide: Collection[str],
    on_progress: OnProgress,
) -> tuple[Mapping[str, LayerError], list[Point]]:
    """What each layer costs, and the mixtures that were tried."""
    on_progress("looking for sensitive layers", 0, 1)
    few = replace(inputs.calibration, prompts=inputs.calibration.prompts[:_PICTURES_SEARCHED])
    graphs = {**inputs.graphs, name: denoiser.graph}
    calls = record(Source(inputs.bundle), graphs, few, _CALLS_SEARCHED)[name]

    def quantise(exclude: Collection[str]) -> onnx.ModelProto:
        return denoiser.quantised(ranges, exclude, wide)

    errors = layer_errors(denoiser.graph, quantise, denoiser.layers, calls)
    near, threads = config.budget.error, config.threads
    points = measure_points(denoiser.graph, quantise, errors, calls, near=near, threads=threads)
    return {entry.layer: entry for entry in errors}, points


def _collect(
    inputs: Inputs, graphs: Mapping[str, StaticGraph], what: str, on_progress: OnProgress
) -> Histograms:
    """Counts what these graphs need while the shipped loop draws."""
    tensors = {component: static.tensors for component, static in graphs.items()}
    plain = {component: static.graph for component, static in graphs.items()}

    def on_picture(done: int, total: int) -> None:
        on_progress(what, done, total)

    source = Source(inputs.bundle)
    return collect(source, {**inputs.graphs, **plain}, tensors, inputs.calibration, on_picture)
