"""From the FP32 graphs of a variant to those of a scheme."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import onnx

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.loop_form import NETWORKS
from fewstep.step_table import StepTable
from fewstep.variant import Variant
from fewstep_quantization.affine import Range
from fewstep_quantization.calibration.collect import Calibration, Histograms, collect
from fewstep_quantization.calibration.observers import choose_range
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.graph import load
from fewstep_quantization.layers import small_layers
from fewstep_quantization.linears import find_linears
from fewstep_quantization.passes.migrate import migrate
from fewstep_quantization.pictures import Graphs, Source
from fewstep_quantization.prepare import prepare
from fewstep_quantization.schemes.dynamic_int8 import to_dynamic_int8
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.static_int8 import to_static_int8
from fewstep_quantization.schemes.static_int8_conv import to_static_int8_conv
from fewstep_quantization.schemes.weight_only import Bits, to_weight_only
from fewstep_quantization.sensitivity import as_reasons, choose, layer_errors
from fewstep_quantization.trajectory import record

_PICTURES_SEARCHED, _CALLS_SEARCHED = 3, 8

OnProgress = Callable[[str, int, int], None]
"""(what is done, done, of all)"""


@dataclass(frozen=True)
class Build:
    """The new graphs by component, and by component the layers that stay float with the reason."""

    graphs: Graphs
    float_layers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What every scheme begins from."""

    bundle: Bundle
    variant: Variant
    graphs: Graphs
    calibration: Calibration

    @classmethod
    def load(cls, config: QuantizeConfig, table: StepTable) -> "Inputs":
        """Reads the graphs and the calibration prompts.

        Raises:
            FewstepError: the variant is not one of FP32 ONNX graphs whose loop the host runs, or there are no prompts.
        """
        bundle = Bundle.open(config.bundle)
        variant = bundle.manifest.variant(config.variant)
        if (variant.precision, variant.format, variant.loop.form) != ("fp32", "onnx", "host"):
            raise FewstepError(
                f"expected a variant of FP32 ONNX graphs with the loop on the host, found {variant.precision} {variant.format}, "
                f"{variant.form}, in variant '{variant.name}'; choose another --variant"
            )
        graphs = {name: load(bundle.file(c.file)) for name, c in variant.components.items()}
        return cls(bundle, variant, graphs, Calibration(_prompts(config, bundle), table))


def build(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """The graphs of the scheme."""
    if config.scheme in ("w8", "w4"):
        bits: Bits = 8 if config.scheme == "w8" else 4
        graphs = {
            name: to_weight_only(prepare(graph), bits, config.exclude)
            for name, graph in inputs.graphs.items()
        }
        return Build({name: to_int8_embeddings(graph) for name, graph in graphs.items()})
    return _integers(config, inputs, on_progress)


def _integers(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """The denoiser in W8A8; the text encoder, one evaluation a picture, gets 8-bit weights alone."""
    name = NETWORKS[inputs.variant.loop.form]
    graphs = {other: graph for other, graph in inputs.graphs.items() if other != name}
    if "text_encoder" in graphs:
        graphs["text_encoder"] = to_int8_embeddings(to_weight_only(graphs["text_encoder"], 8))
    graph = prepare(inputs.graphs[name])
    small = small_layers(graph)
    reasons = {layer: "too small to gain" for layer in small} | {
        layer: "excluded" for layer in config.exclude
    }
    if config.scheme == "int8-dynamic":
        return Build({**graphs, name: to_dynamic_int8(graph, reasons)}, {name: reasons})
    if config.migration:
        graph = _migrated(config, inputs, name, graph, frozenset(reasons), on_progress)
    decoder = prepare(graphs["decoder"], spatial=True)
    ranges = _ranges(config, inputs, {name: graph, "decoder": decoder}, frozenset(reasons), on_progress)
    if config.largest_error is not None:
        reasons |= _searched(config.largest_error, inputs, name, graph, ranges[name], reasons, on_progress)
    graphs["decoder"] = to_static_int8_conv(to_static_int8(decoder, ranges["decoder"]), ranges["decoder"])
    return Build({**graphs, name: to_static_int8(graph, ranges[name], reasons)}, {name: reasons})


def _migrated(
    config: QuantizeConfig,
    inputs: Inputs,
    name: str,
    graph: onnx.ModelProto,
    skip: frozenset[str],
    on_progress: OnProgress,
) -> onnx.ModelProto:
    """The graph with the outlying channels of its activations evened out."""
    histograms = _collect(inputs, {name: graph}, skip, "looking for outliers", on_progress)[name]
    peaks = {tensor: h.peaks for tensor, h in histograms.items() if h.peaks is not None}
    layers = [linear.name for linear in find_linears(graph) if linear.name not in skip]
    return migrate(graph, peaks, layers, config.migration)


def _ranges(
    config: QuantizeConfig, inputs: Inputs, graphs: Graphs, skip: frozenset[str], on_progress: OnProgress
) -> Mapping[str, Mapping[str, Range]]:
    """The range of every tensor that becomes 8 bits, by component."""
    found = _collect(inputs, graphs, skip, "calibrating", on_progress)
    return {
        component: {tensor: choose_range(h, config.observer) for tensor, h in histograms.items()}
        for component, histograms in found.items()
    }


def _searched(
    largest_error: float,
    inputs: Inputs,
    name: str,
    graph: onnx.ModelProto,
    ranges: Mapping[str, Range],
    reasons: Mapping[str, str],
    on_progress: OnProgress,
) -> dict[str, str]:
    """The layers that stay float so that the error is kept, with the reason."""
    on_progress("looking for sensitive layers", 0, 1)
    few = replace(inputs.calibration, prompts=inputs.calibration.prompts[:_PICTURES_SEARCHED])
    calls = record(Source(inputs.bundle), {**inputs.graphs, name: graph}, few, _CALLS_SEARCHED)[name]
    layers = [linear.name for linear in find_linears(graph) if linear.name not in reasons]

    def quantise(exclude: Collection[str]) -> onnx.ModelProto:
        return to_static_int8(graph, ranges, {*exclude, *reasons})

    errors = layer_errors(graph, quantise, layers, calls)
    return as_reasons(choose(errors, largest_error), {entry.layer: entry for entry in errors})


def _collect(
    inputs: Inputs, graphs: Graphs, skip: frozenset[str], what: str, on_progress: OnProgress
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


def _prompts(config: QuantizeConfig, bundle: Bundle) -> tuple[str, ...]:
    """The calibration prompts, evenly apart in the file or in the bundle's examples."""
    if config.prompts is None:
        lines = list(bundle.manifest.prompts.in_styles())
    else:
        try:
            lines = config.prompts.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise FewstepError(
                f"expected a text file of prompts, found none that can be read ({type(error).__name__}), at {config.prompts}; check the path"
            ) from None
    every = max(1, len(lines) // config.pictures)
    return tuple(lines[::every][: config.pictures])
