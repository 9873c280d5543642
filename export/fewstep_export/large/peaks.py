"""The largest activations of a graph on disk: measured inside the graph, which gives back one number a tensor."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from fewstep.network import Feeds
from fewstep_export.activation_range import MASKED, Peak, half_tensors, require_headroom
from fewstep_export.large.session import run_graph

_LOWEST, _ZERO = "peaks.lowest", "peaks.zero"
_MOST, _LEAST = ".most", ".least"


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
    extremes = _extremes(graph, list(makers), inputs, scratch, masked=False)
    touched = [name for name in makers if extremes[name + _LEAST] <= MASKED]
    if touched:
        extremes |= _extremes(graph, touched, inputs, scratch, masked=True)
    peaks = [
        Peak(name, node, max(extremes[name + _MOST], -extremes[name + _LEAST]))
        for name, node in makers.items()
    ]
    return require_headroom(peaks, graph.stem)


def _extremes(
    graph: Path, names: Sequence[str], inputs: Sequence[Feeds], scratch: Path, masked: bool
) -> dict[str, float]:
    """NAME.most and NAME.least of tensors over all inputs; `masked`: what a mask has taken out counts as 0, which takes copies."""
    model = onnx.load(str(graph), load_external_data=False)
    _measure(model, set(names), masked)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for data in graph.parent.glob(f"{graph.name}.data"):
            os.link(data, Path(folder) / data.name)  # where the model looks for its weights
        measured = Path(folder) / graph.name
        onnx.save(model, str(measured))
        found = run_graph(measured, inputs)
    ends: dict[str, Callable[[Iterator[float]], float]] = {_MOST: max, _LEAST: min}
    return {
        name + end: pick(float(values[name + end]) for values in found)
        for name in names
        for end, pick in ends.items()
    }


def _measure(model: onnx.ModelProto, names: AbstractSet[str], masked: bool) -> None:
    """Makes the extremes of tensors the outputs of a graph, each computed right behind its tensor, which can then go."""
    if masked:
        constants = ((_LOWEST, MASKED), (_ZERO, 0.0))
        model.graph.initializer.extend(
            helper.make_tensor(name, TensorProto.FLOAT, (), [value]) for name, value in constants
        )
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        for name in node.output:
            if name in names:
                nodes.extend(_nodes(name, masked))
    outputs = [
        helper.make_tensor_value_info(name + end, TensorProto.FLOAT, ())
        for name in names
        for end in (_MOST, _LEAST)
    ]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    model.graph.ClearField("output")
    model.graph.output.extend(outputs)


def _nodes(name: str, masked: bool) -> Iterator[onnx.NodeProto]:
    counted = name
    if masked:
        counts, counted = f"{name}.counts", f"{name}.counted"
        yield helper.make_node("Greater", [name, _LOWEST], [counts])
        yield helper.make_node("Where", [counts, name, _ZERO], [counted])
    yield helper.make_node("ReduceMax", [counted], [name + _MOST], keepdims=0)
    yield helper.make_node("ReduceMin", [counted], [name + _LEAST], keepdims=0)
