"""Static W8A8 of one graph, linear layers and spatial convolutions together, from the calls that it is to be calibrated on."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from fewstep_quantization.affine import Range, quantise_weights
from fewstep_quantization.calibration.collect import T
from fewstep_quantization.calibration.gram import Gram
from fewstep_quantization.calibration.histogram import Histogram
from fewstep_quantization.calibration.observers import Observer, choose_range, rounding_noise
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.layers import last_layers, one_row_layers, small_layers
from fewstep_quantization.linears import Linear, find_linears
from fewstep_quantization.passes.migrate import migrate
from fewstep_quantization.prepare import prepare
from fewstep_quantization.rounding import Rounded, round_weights
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.folded_int8 import to_folded_int8
from fewstep_quantization.schemes.static_int8 import to_static_int8
from fewstep_quantization.schemes.static_int8_conv import to_static_int8_conv
from fewstep_quantization.schemes.weight_only import to_weight_only
from fewstep_quantization.sessions import exposing, network
from fewstep_quantization.trajectory import Trajectory

SMALL, LAST, ONE_ROW, EXCLUDED = "too small to gain", "makes the output", "one row: 8-bit weights", "excluded"
"""Why a layer is not in integers."""
_FEW = 2_000_000
"""Weights of one-row layers."""
NOISE = 0.03
"""Of a normalised input 8 bits lose 1 to 2 %, of the gated product of a feed-forward block 5 to 10 %."""


@dataclass(frozen=True)
class StaticGraph:
    """A prepared FP32 graph, the layers that stay float with the reason, and how coarse the steps of its weights are at least.

    `weight_noise` is what `quantise_weights` calls noise.
    """

    graph: onnx.ModelProto
    reasons: Mapping[str, str]
    weight_noise: float = 0.0

    @classmethod
    def of(
        cls, model: onnx.ModelProto, exclude: Collection[str] = (), weight_noise: float = 0.0
    ) -> "StaticGraph":
        """The graph prepared; small layers, the last ones and those excluded by name stay float."""
        graph = prepare(model, spatial=True)
        reasons = dict.fromkeys(small_layers(graph), SMALL) | dict.fromkeys(last_layers(graph), LAST)
        reasons |= dict.fromkeys(one_row_layers(graph), ONE_ROW)
        return cls(graph, reasons | dict.fromkeys(exclude, EXCLUDED), weight_noise)

    @property
    def layers(self) -> list[str]:
        """Names of the layers that may become integers."""
        names = [layer.name for layer in find_linears(self.graph)]
        names += [layer.name for layer in find_convolutions(self.graph)]
        return [name for name in names if name not in self.reasons]

    @property
    def linears(self) -> list[Linear]:
        """The linear layers that may become integers."""
        return [layer for layer in find_linears(self.graph) if layer.name not in self.reasons]

    @property
    def inputs(self) -> list[str]:
        """The inputs of the linear layers that may become integers."""
        return sorted({layer.input for layer in self.linears})

    @property
    def tensors(self) -> list[str]:
        """What calibration has to see: the inputs of the layers."""
        convolutions = [c for c in find_convolutions(self.graph) if c.name not in self.reasons]
        return sorted({*self.inputs, *(layer.input for layer in convolutions)})

    def migrated(self, histograms: Mapping[str, Histogram], strength: float) -> "StaticGraph":
        """The same function with the outlying channels of the activations evened out."""
        peaks = {tensor: h.peaks for tensor, h in histograms.items() if h.peaks is not None}
        linears = [layer.name for layer in self.linears]
        return replace(self, graph=migrate(self.graph, peaks, linears, strength))

    def noisy(self, histograms: Mapping[str, Histogram], observer: Observer, most: float) -> frozenset[str]:
        """The linear layers whose input 8 bits would round by more than this part of its size."""
        return frozenset(
            layer.name
            for layer in self.linears
            if rounding_noise(seen := histograms[layer.input], choose_range(seen, observer)) > most
        )

    def rounded(self, grams: Mapping[str, Gram]) -> Mapping[str, Rounded]:
        """The weights of the layers that become integers, rounded for the inputs that they were seen to have."""
        found: dict[str, Rounded] = {}
        for layer in self.linears:
            gram = grams[layer.input].value if layer.input in grams else None
            if gram is not None:
                scales = quantise_weights(layer.weights, noise=self.weight_noise)[1]
                found[layer.name] = round_weights(layer.weights, scales, gram)
        return found

    def quantised(
        self,
        ranges: Mapping[str, Range],
        exclude: Collection[str] = (),
        wide: Collection[str] = (),
        rounded: Mapping[str, Rounded] | None = None,
    ) -> onnx.ModelProto:
        """The graph in integers, `wide` layers in two planes, but for the layers of `reasons` and those excluded here."""
        skip, noise = {*self.reasons, *exclude}, self.weight_noise
        integers = to_static_int8(self.graph, ranges, skip, wide, rounded, noise)
        integers = to_static_int8_conv(integers, ranges, skip, noise)
        return to_int8_embeddings(one_row_weights(integers, self.reasons, noise), noise)


def one_row_weights(
    model: onnx.ModelProto, reasons: Mapping[str, str], noise: float = 0.0
) -> onnx.ModelProto:
    """The layers of one row with their weights in 8 bits.

    They are a fifth of a small network's file. Where they are few their inputs stay as they are, since all pixels get what they make: the
    4-step student's error fell from 0.041 to 0.038. In a DiT, a third of whose weights are such, `MatMulNBits` with rounded inputs saves 22 ms of 80.
    """
    layers = find_linears(model)
    ones = [layer for layer in layers if reasons.get(layer.name) == ONE_ROW]
    others = {layer.name for layer in layers} - {layer.name for layer in ones}
    if sum(layer.weights.size for layer in ones) <= _FEW:
        return to_folded_int8(model, others, noise)
    return to_weight_only(model, 8, others, noise)


def ranges_of(histograms: Mapping[str, Histogram], observer: Observer) -> Mapping[str, Range]:
    """The range of every tensor."""
    return {tensor: choose_range(histogram, observer) for tensor, histogram in histograms.items()}


def quantise_graph(
    model: onnx.ModelProto,
    calls: Trajectory,
    observer: Observer = "min-max",
    migration: float = 0.0,
    exclude: Collection[str] = (),
    noise: float = NOISE,
) -> tuple[onnx.ModelProto, Mapping[str, str]]:
    """A graph of any network in W8A8, and the layers that stay float with the reason.

    Args:
        model: the FP32 graph.
        calls: inputs by name, to calibrate on.
        observer: how ranges are chosen.
        migration: SmoothQuant's exponent; 0 leaves the activations as they are.
        exclude: layers that stay float, by name.
        noise: layers whose input 8 bits round by more than this part of its size get two planes.

    Raises:
        FewstepError: an activation is NaN or infinite.
    """
    static = StaticGraph.of(model, exclude)
    if migration:
        static = static.migrated(_count(static, calls), migration)
    seen, grams = _count(static, calls), observed(static, calls, static.inputs, Gram)
    wide = static.noisy(seen, observer, noise)
    return static.quantised(ranges_of(seen, observer), (), wide, static.rounded(grams)), static.reasons


def _count(static: StaticGraph, calls: Trajectory) -> Mapping[str, Histogram]:
    return observed(static, calls, static.tensors, Histogram)


def observed(
    static: StaticGraph, calls: Trajectory, tensors: Collection[str], make: Callable[[str], T]
) -> Mapping[str, T]:
    """An observer of each tensor that has seen it at every call."""
    observers = {name: make(name) for name in tensors}
    run = network(exposing(static.graph, list(tensors)))
    for feeds in calls:
        outputs = run(feeds)
        for name, observer in observers.items():
            observer.add(np.asarray(feeds[name] if name in feeds else outputs[name], dtype=np.float32))
    return observers
