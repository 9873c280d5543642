"""The schemes that multiply in integers: what is calibrated, what stays in float and why, and the graphs that come of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import onnx

from fewstep.loop_form import NETWORKS
from fewstep_quantization.affine import Range
from fewstep_quantization.building import Build, Inputs, OnProgress
from fewstep_quantization.calibration.collect import Histograms, collect
from fewstep_quantization.calibration.observers import choose_range
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.layers import one_row_layers, small_layers
from fewstep_quantization.linears import find_linears
from fewstep_quantization.passes.migrate import migrate
from fewstep_quantization.pictures import Graphs, Source
from fewstep_quantization.prepare import prepare
from fewstep_quantization.schemes.dynamic_int8 import to_dynamic_int8
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.static_int8 import to_static_int8
from fewstep_quantization.schemes.static_int8_conv import to_static_int8_conv
from fewstep_quantization.schemes.weight_only import to_weight_only
from fewstep_quantization.search import Budget, Point, measure_points, undominated, within
from fewstep_quantization.sensitivity import LayerError, layer_errors
from fewstep_quantization.trajectory import record

_PICTURES_SEARCHED, _CALLS_SEARCHED = 3, 8


@dataclass(frozen=True)
class _Denoiser:
    """The prepared graph of the network inside the loop, and the layers that stay float with the reason."""

    name: str
    graph: onnx.ModelProto
    reasons: Mapping[str, str]

    @property
    def layers(self) -> list[str]:
        """Names of the linear layers that may become integers."""
        return [linear.name for linear in find_linears(self.graph) if linear.name not in self.reasons]


def build_integers(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """The denoiser and the decoder in W8A8; the text encoder, one evaluation a picture, gets 8-bit weights alone."""
    name = NETWORKS[inputs.variant.loop.form]
    graphs = {other: graph for other, graph in inputs.graphs.items() if other != name}
    if "text_encoder" in graphs:
        graphs["text_encoder"] = to_int8_embeddings(to_weight_only(graphs["text_encoder"], 8))
    graph = prepare(inputs.graphs[name])
    reasons = dict.fromkeys(small_layers(graph), "too small to gain")
    reasons |= dict.fromkeys(one_row_layers(graph), "one row: 8-bit weights")
    reasons |= dict.fromkeys(config.exclude, "excluded")
    if config.scheme == "int8-dynamic":
        dynamic = _one_row_weights(to_dynamic_int8(graph, reasons), reasons)
        return Build({**graphs, name: dynamic}, {name: reasons})
    denoiser = _Denoiser(name, graph, reasons)
    if config.migration:
        denoiser = _migrated(config, inputs, denoiser, on_progress)
    decoder = prepare(graphs["decoder"], spatial=True)
    ranges = _ranges(config, inputs, {name: denoiser.graph, "decoder": decoder}, reasons, on_progress)
    points: list[Point] = []
    chosen = None
    if config.budget != Budget():
        errors, points = _searched(config, inputs, denoiser, ranges[name], on_progress)
        chosen = within(points, config.budget)
        reasons |= {layer: f"costs {errors[layer].error:.3f} of the output" for layer in chosen.float_layers}
    quantised = _one_row_weights(to_static_int8(denoiser.graph, ranges[name], reasons), reasons)
    graphs["decoder"] = to_static_int8_conv(to_static_int8(decoder, ranges["decoder"]), ranges["decoder"])
    return Build({**graphs, name: quantised}, {name: reasons}, tuple(undominated(points)), chosen)


def _one_row_weights(model: onnx.ModelProto, reasons: Mapping[str, str]) -> onnx.ModelProto:
    """The layers of one row with their weights in 8 bits, multiplied in float: they are a fifth of a small network's file."""
    rows = one_row_layers(model)
    others = {linear.name for linear in find_linears(model) if linear.name not in rows}
    return to_weight_only(model, 8, others | {n for n, why in reasons.items() if why == "excluded"}, level=1)


def _migrated(
    config: QuantizeConfig, inputs: Inputs, denoiser: _Denoiser, on_progress: OnProgress
) -> _Denoiser:
    """The graph with the outlying channels of its activations evened out."""
    found = _collect(
        inputs, {denoiser.name: denoiser.graph}, denoiser.reasons, "looking for outliers", on_progress
    )
    peaks = {tensor: h.peaks for tensor, h in found[denoiser.name].items() if h.peaks is not None}
    return replace(denoiser, graph=migrate(denoiser.graph, peaks, denoiser.layers, config.migration))


def _ranges(
    config: QuantizeConfig, inputs: Inputs, graphs: Graphs, skip: Collection[str], on_progress: OnProgress
) -> Mapping[str, Mapping[str, Range]]:
    """The range of every tensor that becomes 8 bits, by component."""
    found = _collect(inputs, graphs, skip, "calibrating", on_progress)
    return {
        component: {tensor: choose_range(h, config.observer) for tensor, h in histograms.items()}
        for component, histograms in found.items()
    }


def _searched(
    config: QuantizeConfig,
    inputs: Inputs,
    denoiser: _Denoiser,
    ranges: Mapping[str, Range],
    on_progress: OnProgress,
) -> tuple[Mapping[str, LayerError], list[Point]]:
    """What each layer costs, and the mixtures that were tried."""
    on_progress("looking for sensitive layers", 0, 1)
    few = replace(inputs.calibration, prompts=inputs.calibration.prompts[:_PICTURES_SEARCHED])
    graphs = {**inputs.graphs, denoiser.name: denoiser.graph}
    calls = record(Source(inputs.bundle), graphs, few, _CALLS_SEARCHED)[denoiser.name]

    def quantise(exclude: Collection[str]) -> onnx.ModelProto:
        return to_static_int8(denoiser.graph, ranges, {*exclude, *denoiser.reasons})

    errors = layer_errors(denoiser.graph, quantise, denoiser.layers, calls)
    points = measure_points(
        denoiser.graph, quantise, errors, calls, near=config.budget.error, threads=config.threads
    )
    return {entry.layer: entry for entry in errors}, points


def _collect(
    inputs: Inputs, graphs: Graphs, skip: Collection[str], what: str, on_progress: OnProgress
) -> Histograms:
    """Counts the inputs of the linear layers of these graphs, and both ends of their spatial convolutions."""
    tensors = {
        component: sorted(
            {linear.input for linear in find_linears(graph) if linear.name not in skip}
            | {end for layer in find_convolutions(graph) for end in (layer.input, layer.output)}
        )
        for component, graph in graphs.items()
    }

    def on_picture(done: int, total: int) -> None:
        on_progress(what, done, total)

    source = Source(inputs.bundle)
    return collect(source, {**inputs.graphs, **graphs}, tensors, inputs.calibration, on_picture)
