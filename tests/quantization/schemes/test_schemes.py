"""Every scheme on the real tiny graphs: near to FP32, in the operators it promises, smaller."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from tests.quantization.conftest import random_feeds

from fewstep.network import Feeds
from fewstep_quantization.affine import Range
from fewstep_quantization.calibration.gram import Gram
from fewstep_quantization.convolutions import find_convolutions
from fewstep_quantization.linears import find_linears
from fewstep_quantization.pictures import Graphs, relative_error
from fewstep_quantization.prepare import prepare
from fewstep_quantization.schemes.dynamic_int8 import to_dynamic_int8
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.static_int8 import to_static_int8
from fewstep_quantization.schemes.static_int8_conv import to_static_int8_conv
from fewstep_quantization.schemes.weight_only import BLOCK, quantise_blocks, to_weight_only
from fewstep_quantization.sessions import exposing, network


def seen_ranges(graph: onnx.ModelProto) -> dict[str, Range]:
    """The ranges of every tensor that a scheme may ask for, on the inputs of the test."""
    names = {linear.input for linear in find_linears(graph)}
    names |= {layer.input for layer in find_convolutions(graph)}
    feeds = random_feeds(graph)
    tensors = {**feeds, **network(exposing(graph, sorted(names)))(feeds)}
    return {name: Range(float(tensors[name].min()), float(tensors[name].max())) for name in names}


def static(graph: onnx.ModelProto) -> onnx.ModelProto:
    ranges = seen_ranges(graph)
    return to_static_int8_conv(to_static_int8(graph, ranges), ranges)


def only(outputs: Feeds) -> np.ndarray:
    (value,) = outputs.values()
    return value


SCHEMES: list[tuple[Callable[[onnx.ModelProto], onnx.ModelProto], str, float]] = [
    (static, "MatMulIntegerToFloat", 0.1),
    (to_dynamic_int8, "DynamicQuantizeMatMul", 0.1),
    (lambda graph: to_weight_only(graph, 8), "MatMulNBits", 0.05),
    (lambda graph: to_weight_only(graph, 4), "MatMulNBits", 0.3),
]


@pytest.mark.parametrize("component", ["denoiser", "decoder"])
@pytest.mark.parametrize(("scheme", "operator", "tolerance"), SCHEMES, ids=["int8", "dynamic", "w8", "w4"])
def test_a_scheme_is_near_to_fp32_and_leaves_no_linear_layer_in_float(
    fp32: Graphs,
    component: str,
    scheme: Callable[[onnx.ModelProto], onnx.ModelProto],
    operator: str,
    tolerance: float,
) -> None:
    graph = prepare(fp32[component], spatial=True)
    quantised = scheme(graph)
    onnx.checker.check_model(onnx.ModelProto.FromString(quantised.SerializeToString()))
    assert not find_linears(quantised)
    layers = len(find_linears(graph)) + len(find_convolutions(graph)) * (scheme is static)
    assert sum(node.op_type == operator for node in quantised.graph.node) == layers
    feeds = random_feeds(graph)
    (expected,) = network(graph)(feeds).values()
    (result,) = network(quantised)(feeds).values()
    assert 0 < relative_error(result, expected) < tolerance


def test_layers_that_read_one_tensor_share_its_quantisation(fp32: Graphs) -> None:
    graph = fp32["text_encoder"]
    quantised = to_static_int8(graph, seen_ranges(graph))
    inputs = {linear.input for linear in find_linears(graph)}
    assert len(inputs) < len(find_linears(graph))  # q, k and v
    assert sum(node.op_type == "QuantizeLinear" for node in quantised.graph.node) == len(inputs)


def test_an_excluded_layer_stays_float(fp32: Graphs) -> None:
    graph = prepare(fp32["denoiser"])
    name = find_linears(graph)[3].name
    assert [linear.name for linear in find_linears(to_static_int8(graph, seen_ranges(graph), {name}))] == [
        name
    ]


def test_four_bits_that_mind_the_inputs_are_nearer(fp32: Graphs) -> None:
    graph = prepare(fp32["denoiser"])
    feeds, names = random_feeds(graph), sorted({linear.input for linear in find_linears(graph)})
    tensors, grams = {**feeds, **network(exposing(graph, names))(feeds)}, {name: Gram(name) for name in names}
    for name, gram in grams.items():
        gram.add(tensors[name])
    (expected,) = network(graph)(feeds).values()
    nearest, minded = (
        relative_error(only(network(to_weight_only(graph, 4, grams=known))(feeds)), expected)
        for known in ({}, grams)
    )
    assert 0 < minded < 0.8 * nearest


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_come_back_within_half_a_level(bits: int) -> None:
    weights = np.random.default_rng(0).standard_normal((70, 5)).astype(np.float32)
    packed, scales = quantise_blocks(weights, bits)  # type: ignore[arg-type]
    levels = packed if bits == 8 else np.stack([packed & 15, packed >> 4], axis=-1).reshape(5, -1, BLOCK[4])
    found = ((levels.astype(np.float32) - 2 ** (bits - 1)) * scales[..., None]).reshape(5, -1)[:, :70].T
    bound = np.repeat(np.abs(scales), BLOCK[bits], axis=1)[:, :70].T  # type: ignore[index]
    # The extreme of the other sign may lack its last level.
    assert (np.abs(found - weights) <= 1.001 * bound).all()
    assert np.abs(found - weights).mean() < 0.3 * bound.mean()


def test_embeddings_in_8_bits(fp32: Graphs) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(fp32["text_encoder"])
    del graph.graph.value_info[:]  # the shapes of the smaller table
    table = next(
        t
        for t in graph.graph.initializer
        if any(n.op_type == "Gather" and n.input[0] == t.name for n in graph.graph.node)
    )
    rows = np.random.default_rng(0).standard_normal((300, table.dims[1])).astype(np.float32)
    table.CopyFrom(onnx.numpy_helper.from_array(rows, table.name))
    small = to_int8_embeddings(graph)
    assert small.ByteSize() < graph.ByteSize() - 2 * rows.nbytes // 3
    feeds = random_feeds(graph)
    (expected,) = network(graph)(feeds).values()
    (result,) = network(small)(feeds).values()
    assert 0 < relative_error(result, expected) < 0.03


def test_two_planes_keep_what_one_loses(fp32: Graphs) -> None:
    """With ranges 20 times too wide one plane is coarse; two are as near as the weights' own 8 bits allow, still all in integers."""
    graph = prepare(fp32["denoiser"])
    ranges = {name: Range(20 * r.low, 20 * r.high) for name, r in seen_ranges(graph).items()}
    every = {linear.name for linear in find_linears(graph)}
    feeds = random_feeds(graph)
    (expected,) = network(graph)(feeds).values()
    quantised = [to_static_int8(graph, ranges, (), wide) for wide in ((), every)]
    one, two = (relative_error(only(network(q)(feeds)), expected) for q in quantised)
    assert two < 0.03
    assert one > 0.15
    assert not find_linears(quantised[1])
