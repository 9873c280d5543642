import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tests.quantization.conftest import random_feeds

from fewstep.errors import FewstepError
from fewstep.network import Feeds
from fewstep_quantization.calibration.peak import Peak, float_tensors, overflowing
from fewstep_quantization.pictures import Graphs, relative_error
from fewstep_quantization.schemes.half import to_half
from fewstep_quantization.sessions import exposing, network


def as_a_device(model: onnx.ModelProto, feeds: Feeds) -> np.ndarray:
    """The first output with every FP16 tensor really rounded; ONNX Runtime computes FP16 graphs in FP32 on x86."""
    with np.errstate(over="ignore", invalid="ignore"):
        results: list[np.ndarray] = ReferenceEvaluator(model).run(None, dict(feeds))  # type: ignore[assignment]  # a list of outputs
        return results[0]


def planted() -> onnx.ModelProto:
    """Computes x * 1000 * 1000 through a Relu, times 1e-6, plus x: three nodes lie where FP16 overflows."""
    nodes = [
        helper.make_node("Mul", ["x", "thousand"], ["a"]),
        helper.make_node("Mul", ["a", "thousand"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Mul", ["c", "millionth"], ["d"]),
        helper.make_node("Add", ["d", "x"], ["y"]),
    ]
    values = [("thousand", 1e3), ("millionth", 1e-6)]
    constants = [numpy_helper.from_array(np.array(v, dtype=np.float32), name) for name, v in values]
    ends = [helper.make_tensor_value_info(name, 1, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "planted", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def peaks(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Peak]:
    names = float_tensors(model)
    found = {name: Peak(name) for name in names}
    for name, value in network(exposing(model, names))(feeds).items():
        if name in found:
            found[name].add(np.asarray(value))
    return found


def test_a_planted_overflow_is_found_and_an_island_mends_it() -> None:
    model, feeds = planted(), {"x": np.ones((1, 4), dtype=np.float32)}
    assert not np.isfinite(as_a_device(to_half(model), feeds)).all()
    large = overflowing(peaks(model, feeds))
    assert large.keys() == {"b", "c"}
    mended = to_half(model, large)
    np.testing.assert_allclose(as_a_device(mended, feeds), 2.0, rtol=2e-3)
    halves = [node for node in mended.graph.node if node.output[0].endswith("_half")]
    assert {"a_half", "y_half"} <= {node.output[0] for node in halves}  # the rest is FP16


@pytest.mark.parametrize("component", ["denoiser", "decoder", "text_encoder"])
def test_real_graphs_stay_near(fp32: Graphs, component: str) -> None:
    graph = fp32[component]
    half = to_half(graph)
    onnx.checker.check_model(half)
    assert half.ByteSize() < 0.62 * graph.ByteSize()  # tiny graphs are half nodes, which stay
    feeds = random_feeds(graph)
    (expected,) = network(graph)(feeds).values()
    assert 0 < relative_error(as_a_device(half, feeds), expected) < 1e-2


def test_the_timestep_becomes_sines_in_fp32(fp32: Graphs) -> None:
    half = to_half(fp32["denoiser"])
    types = {t.name: t.data_type for t in half.graph.initializer}
    makers = {name: node for node in half.graph.node for name in node.output}
    (sine,) = (node for node in half.graph.node if node.op_type == "Sin")
    frequencies = [name for name in makers[sine.input[0]].input if name in types]
    assert [types[name] for name in frequencies] == [onnx.TensorProto.FLOAT]


def test_what_is_infinite_in_fp32_already_is_refused() -> None:
    with pytest.raises(FewstepError, match="NaN or infinity, in tensor 't'"):
        Peak("t").add(np.array([np.inf], dtype=np.float32))
