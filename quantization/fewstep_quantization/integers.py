"""The schemes that multiply in integers: what is calibrated, what stays in float and why, and the graphs that come of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

import onnx

from fewstep.bench.device import physical_cores
from fewstep.loop_form import NETWORKS, TEXT_ENCODER
from fewstep_quantization.affine import Range
from fewstep_quantization.building import Build, Inputs, OnProgress
from fewstep_quantization.calibration.collect import Histograms, collect, observe
from fewstep_quantization.calibration.gram import Gram
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.measure import SEED
from fewstep_quantization.pictures import Source
from fewstep_quantization.planes import Drawer, Planes, by_worth, fewest
from fewstep_quantization.rounding import Rounded
from fewstep_quantization.schemes.dynamic_int8 import to_dynamic_int8
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.weight_only import to_weight_only
from fewstep_quantization.search import Budget, Point, measure_points, undominated, within
from fewstep_quantization.sensitivity import LayerError, Quantise, layer_errors
from fewstep_quantization.static_graph import StaticGraph, one_row_weights, ranges_of
from fewstep_quantization.trajectory import Trajectory, record

DECODER = "decoder"
_PICTURES_SEARCHED, _CALLS_SEARCHED = 3, 8


@dataclass(frozen=True)
class Calibrated:
    """By component: its graph, the ranges of its layers' inputs, and its rounded weights."""

    statics: Mapping[str, StaticGraph]
    ranges: Mapping[str, Mapping[str, Range]]
    rounded: Mapping[str, Mapping[str, Rounded]]

    def graph(self, component: str, wide: Collection[str], exclude: Collection[str] = ()) -> onnx.ModelProto:
        """A component in integers, `wide` layers in two planes, those of `exclude` in float."""
        static, ranges = self.statics[component], self.ranges[component]
        return static.quantised(ranges, exclude, wide, self.rounded[component])


def build_integers(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """Denoiser and decoder in W8A8; so is the text encoder, each of its inputs in two planes: its errors go into every evaluation.

    With ranges found at run time ("int8-dynamic") nothing is calibrated, and text encoder and decoder are as `_dynamic` says.
    """
    name = NETWORKS[inputs.variant.loop.form]
    statics = {
        component: StaticGraph.of(
            graph,
            config.exclude,
            # The decoder is small, and its errors a veil over what should be transparent.
            config.weight_noise if component != DECODER else 0.0,
        )
        for component, graph in inputs.graphs.items()
        if component in (name, DECODER, TEXT_ENCODER)
    }
    if config.scheme == "int8-dynamic":
        return _dynamic(inputs, name, statics[name])
    if config.migration:
        seen = _collect(inputs, {name: statics[name]}, "looking for outliers", on_progress)
        statics[name] = statics[name].migrated(seen[name], config.migration)
    found = _collect(inputs, statics, "calibrating", on_progress)
    ranges = {component: ranges_of(h, config.observer) for component, h in found.items()}
    calibrated = Calibrated(statics, ranges, _rounded(inputs, statics, on_progress))
    noise = dict.fromkeys(statics, config.noise) | {TEXT_ENCODER: 0.0}
    wide = {c: static.noisy(found[c], config.observer, noise[c]) for c, static in statics.items()}
    if config.limits.psnr is not None:
        wide[name] = _planes(config.limits.psnr, config, inputs, calibrated, wide, on_progress)
    points: list[Point] = []
    chosen, costly = None, dict[str, str]()
    if config.budget != Budget():
        quantise = partial(calibrated.graph, name, wide[name])
        errors, points = _searched(config, inputs, name, statics[name], quantise, on_progress)
        chosen = within(points, config.budget)
        costly = {layer: f"costs {errors[layer].error:.3f} of the output" for layer in chosen.float_layers}
    left = {name: costly}
    graphs = {c: calibrated.graph(c, wide[c], left.get(c, {})) for c in statics}
    reasons = {c: {**static.reasons, **left.get(c, {})} for c, static in statics.items()}
    others = {c: graph for c, graph in inputs.graphs.items() if c not in graphs}
    return Build(
        {**others, **graphs}, reasons, tuple(undominated(points)), chosen, wide[name] - costly.keys()
    )


def _planes(
    least: float,
    config: QuantizeConfig,
    inputs: Inputs,
    calibrated: Calibrated,
    wide: Mapping[str, Planes],
    on_progress: OnProgress,
) -> Planes:
    """The denoiser's layers in two planes: the usual ones if their pictures reach this PSNR, else as few as do, or all."""
    on_progress("drawing", 0, 1)
    name, threads = NETWORKS[inputs.variant.loop.form], config.threads or physical_cores()
    table = inputs.calibration.table
    drawer = Drawer(Source(inputs.bundle), inputs.held_out(config.compared), table, SEED, threads)
    likeness = drawer.likeness(inputs.graphs)
    others = {c: calibrated.graph(c, wide[c]) for c in calibrated.statics if c != name}

    def reached(planes: Planes) -> bool:
        return likeness({**inputs.graphs, **others, name: calibrated.graph(name, planes)}) >= least

    if reached(wide[name]):
        return wide[name]
    on_progress("looking for layers that need two planes", 0, 1)
    static = calibrated.statics[name]
    layers = [layer.name for layer in static.linears]
    calls = _calls(inputs, name, static)
    choices = by_worth(static.graph, partial(calibrated.graph, name), layers, calls)
    return fewest(choices, reached)


def _rounded(
    inputs: Inputs, statics: Mapping[str, StaticGraph], on_progress: OnProgress
) -> Mapping[str, Mapping[str, Rounded]]:
    """The weights of each component, rounded for the inputs that its layers have on the sampler's way."""
    tensors = {component: static.inputs for component, static in statics.items()}
    plain = {component: static.graph for component, static in statics.items()}
    on_picture = partial(on_progress, "rounding weights")
    source = Source(inputs.bundle)
    grams = observe(source, {**inputs.graphs, **plain}, tensors, inputs.calibration, Gram, on_picture)
    return {
        component: static.rounded(
            {tensor: gram for tensor, gram in grams[component].items() if gram.value is not None}
        )
        for component, static in statics.items()
    }


def _dynamic(inputs: Inputs, name: str, denoiser: StaticGraph) -> Build:
    """Ranges found at run time; there is no such operator for convolutions that pays (`ConvInteger`), so those stay float.

    The text encoder gets 8-bit weights alone, the decoder stays as it is.
    """
    convolutions = {layer.name: "no dynamic kernel that pays" for layer in find_convolutions(denoiser.graph)}
    reasons = {**denoiser.reasons, **convolutions}
    graphs = dict(inputs.graphs)
    if TEXT_ENCODER in graphs:
        graphs[TEXT_ENCODER] = to_int8_embeddings(to_weight_only(graphs[TEXT_ENCODER], 8))
    graphs[name] = one_row_weights(to_dynamic_int8(denoiser.graph, reasons), reasons)
    return Build(graphs, {name: reasons})


def _searched(
    config: QuantizeConfig,
    inputs: Inputs,
    name: str,
    denoiser: StaticGraph,
    quantise: Quantise,
    on_progress: OnProgress,
) -> tuple[Mapping[str, LayerError], list[Point]]:
    """What each layer costs, and the mixtures that were tried."""
    on_progress("looking for sensitive layers", 0, 1)
    calls = _calls(inputs, name, denoiser)
    errors = layer_errors(denoiser.graph, quantise, denoiser.layers, calls)
    near, threads = config.budget.error, config.threads
    points = measure_points(denoiser.graph, quantise, errors, calls, near=near, threads=threads)
    return {entry.layer: entry for entry in errors}, points


def _calls(inputs: Inputs, name: str, denoiser: StaticGraph) -> Trajectory:
    """Some calls of the denoiser as the sampler makes them."""
    few = replace(inputs.calibration, prompts=inputs.calibration.prompts[:_PICTURES_SEARCHED])
    graphs = {**inputs.graphs, name: denoiser.graph}
    return record(Source(inputs.bundle), graphs, few, _CALLS_SEARCHED)[name]


def _collect(
    inputs: Inputs, graphs: Mapping[str, StaticGraph], what: str, on_progress: OnProgress
) -> Histograms:
    """Counts what these graphs need while the shipped loop draws."""
    tensors = {component: static.tensors for component, static in graphs.items()}
    plain = {component: static.graph for component, static in graphs.items()}
    on_picture = partial(on_progress, what)
    source = Source(inputs.bundle)
    return collect(source, {**inputs.graphs, **plain}, tensors, inputs.calibration, on_picture)
