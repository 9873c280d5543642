"""Weights that are 8 bits in the file and FP32 in the session."""

import json
from pathlib import Path

import onnx
from tests.quantization.conftest import random_feeds

from fewstep_quantization.linears import find_linears
from fewstep_quantization.pictures import Graphs, relative_error
from fewstep_quantization.schemes.folded_int8 import to_folded_int8
from fewstep_quantization.sessions import network, session


def test_the_file_is_small_and_the_function_stays(fp32: Graphs) -> None:
    graph = fp32["denoiser"]
    folded = to_folded_int8(graph)
    onnx.checker.check_model(onnx.ModelProto.FromString(folded.SerializeToString()))
    assert not find_linears(folded)
    saved = 3 * sum(layer.weights.size for layer in find_linears(graph))
    assert folded.ByteSize() < graph.ByteSize() - 0.9 * saved
    feeds = random_feeds(graph)
    (expected,), (found,) = (network(model)(feeds).values() for model in (graph, folded))
    assert 0 < relative_error(found, expected) < 0.05


def test_nothing_is_left_to_multiply_out_when_it_runs(fp32: Graphs, tmp_path: Path) -> None:
    graph = fp32["denoiser"]
    onnx.save(to_folded_int8(graph), tmp_path / "folded.onnx")
    loaded = session(tmp_path / "folded.onnx", 1, tmp_path / "profile")
    loaded.run(None, dict(random_feeds(graph)))
    events = json.loads(Path(loaded.end_profiling()).read_text())
    operators = [event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")]
    before = sum(node.op_type == "Cast" for node in graph.graph.node)
    assert operators.count("Cast") <= before and {"MatMul", "Gemm", "FusedMatMul"} & set(operators)
