"""From the FP32 graphs of a variant to those of a scheme."""

from collections.abc import Collection, Mapping
from functools import partial

import onnx

from fewstep_quantization.building import Build, Inputs, OnProgress
from fewstep_quantization.calibration.collect import observe
from fewstep_quantization.calibration.gram import Gram
from fewstep_quantization.calibration.peak import Peak, float_tensors, overflowing
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.integers import build_integers
from fewstep_quantization.layers import last_layers, small_layers
from fewstep_quantization.linears import find_linears
from fewstep_quantization.pictures import Source
from fewstep_quantization.prepare import prepare
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.half import to_half
from fewstep_quantization.schemes.weight_only import Bits, to_weight_only

_LIGHT = 0.1
"""Of a graph's weights."""


def build(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """The graphs of the scheme."""
    if config.scheme in ("w8", "w4"):
        return _weight_only(8 if config.scheme == "w8" else 4, config.exclude, inputs, on_progress)
    if config.scheme == "fp16":
        return _half(inputs, on_progress)
    return build_integers(config, inputs, on_progress)


def _weight_only(bits: Bits, exclude: Collection[str], inputs: Inputs, on_progress: OnProgress) -> Build:
    """Weights in blocks, rounded for the inputs that the layers have on the sampler's way, which stay float."""
    graphs = {name: prepare(graph) for name, graph in inputs.graphs.items()}
    tensors = {
        name: sorted({linear.input for linear in find_linears(graph) if linear.name not in exclude})
        for name, graph in graphs.items()
    }
    on_picture = partial(on_progress, "rounding weights")
    grams = observe(Source(inputs.bundle), graphs, tensors, inputs.calibration, Gram, on_picture)
    built = {name: _in_blocks(graph, bits, exclude, grams[name]) for name, graph in graphs.items()}
    return Build({name: to_int8_embeddings(graph) for name, graph in built.items()})


def _in_blocks(
    graph: onnx.ModelProto, bits: Bits, exclude: Collection[str], grams: Mapping[str, Gram]
) -> onnx.ModelProto:
    """The last layers, and those with little to multiply where they weigh little, have 8 bits: what they err by reaches every pixel."""
    sizes = {linear.name: linear.weights.size for linear in find_linears(graph)}
    eight = small_layers(graph)  # those of the timestep among them
    if sum(sizes.get(name, 0) for name in eight) > _LIGHT * sum(sizes.values()):
        eight = frozenset()
    most = to_weight_only(graph, bits, {*exclude, *eight, *last_layers(graph)}, grams=grams)
    return to_weight_only(most, 8, exclude, grams=grams)


def _half(inputs: Inputs, on_progress: OnProgress) -> Build:
    """FP16, with the tensors that reach too far on the sampler's way in FP32."""
    tensors = {name: float_tensors(graph) for name, graph in inputs.graphs.items()}
    on_picture = partial(on_progress, "looking for overflow")
    seen = observe(Source(inputs.bundle), inputs.graphs, tensors, inputs.calibration, Peak, on_picture)
    large = {name: overflowing(peaks) for name, peaks in seen.items()}
    graphs = {name: to_half(graph, large[name]) for name, graph in inputs.graphs.items()}
    reasons = {
        name: {tensor: f"reaches {value:.3g}" for tensor, value in found.items()}
        for name, found in large.items()
    }
    return Build(graphs, reasons)
