"""The largest activations of a graph on disk: measured inside the graph, which gives back one number a tensor."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from fewstep.network import Feeds
from fewstep_export.activation_range import MASKED, Peak, half_tensors, require_headroom
from fewstep_export.large.session import run_graph

_LOWEST, _ZERO, _LARGEST = "peaks.lowest", "peaks.zero", ".peak"


def require_fp16_range(graph: Path, fp16: onnx.ModelProto, inputs: Sequence[Feeds], scratch: Path) -> Peak:
    """The largest of the activations that the FP16 graph keeps in FP16, measured in the FP32 graph.

    Args:
        graph: the FP32 graph, named like its component.
        fp16: the FP16 graph, without its weights.
        inputs: on which it is measured.
        scratch: a folder on the disk of the graph.

    Raises:
        FewstepError: one is too large; see `fewstep_export.activation_range.require_headroom`.
    """
    model = onnx.load(str(graph), load_external_data=False)
    half = half_tensors(fp16)
    makers = {name: node.name for node in model.graph.node for name in node.output if name in half}
    _measure(model, list(makers))
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for data in graph.parent.glob(f"{graph.name}.data"):
            os.link(data, Path(folder) / data.name)  # where the model looks for its weights
        measured = Path(folder) / graph.name
        onnx.save(model, str(measured))
        found = run_graph(measured, inputs)
    peaks = [Peak(name, node, max(float(f[name + _LARGEST]) for f in found)) for name, node in makers.items()]
    return require_headroom(peaks, graph.stem)


def _measure(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Makes the largest absolute values of tensors the outputs of a graph; what a mask has taken out does not count."""
    constants = ((_LOWEST, MASKED), (_ZERO, 0.0))
    model.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.FLOAT, (), [value]) for name, value in constants
    )
    for name in names:
        model.graph.node.extend(_nodes(name))
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name + _LARGEST, TensorProto.FLOAT, ()) for name in names
    )


def _nodes(name: str) -> Iterator[onnx.NodeProto]:
    counts, counted, size = (f"{name}.{step}" for step in ("counts", "counted", "size"))
    yield helper.make_node("Greater", [name, _LOWEST], [counts])
    yield helper.make_node("Where", [counts, name, _ZERO], [counted])
    yield helper.make_node("Abs", [counted], [size])
    yield helper.make_node("ReduceMax", [size], [name + _LARGEST], keepdims=0)
