"""ONNX Runtime on a graph whose weights lie beside it, without a second copy of them. No torch is loaded here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from fewstep.network import Feeds

Array = npt.NDArray[np.generic]


def run_graph(graph: Path, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    """The outputs of a graph by name; weights are mapped from the file, not packed again, and nothing is kept for a next call.

    Nodes run as they stand in the graph: in ONNX Runtime's default order those that only an output needs may wait, and with them all that
    they need.
    """
    session = _session(graph)
    inputs = [node.name for node in session.get_inputs()]
    outputs = [node.name for node in session.get_outputs()]
    results = (session.run(outputs, {name: feed[name] for name in inputs}) for feed in feeds)
    return [dict(zip(outputs, result, strict=True)) for result in results]


def _session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    )  # others copy weights
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
