"""ONNX Runtime sessions for checking graphs."""

from pathlib import Path

import onnx
import onnxruntime

from fewstep.network import Feeds, Run
from fewstep_export.components import Array
from fewstep_export.onnx_export import to_bytes


def runner(model: onnx.ModelProto | Path) -> Run:
    """Evaluates a graph, or a graph file, as the runtime does."""
    session = _session(model, optimised=True)
    inputs = [node.name for node in session.get_inputs()]
    outputs = [node.name for node in session.get_outputs()]

    def run(feeds: Feeds) -> dict[str, Array]:
        results = session.run(outputs, {name: feeds[name] for name in inputs})
        return dict(zip(outputs, results, strict=True))

    return run


def tensors(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Array]:
    """Every intermediate tensor and output of the graph by name, in order of execution, node by node as written."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {value.name for value in exposed.graph.output}
    names = [name for node in exposed.graph.node for name in node.output if name]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    given = {value.name: feeds[value.name] for value in exposed.graph.input}
    return dict(zip(names, _session(exposed, optimised=False).run(names, given), strict=True))


def _session(model: onnx.ModelProto | Path, optimised: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else to_bytes(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
