"""ONNX Runtime sessions over graphs in memory, set as the runtime sets them."""

from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime

from fewstep.network import Feeds, Network, Run


def session(
    model: onnx.ModelProto | Path, threads: int | None = None, profile: Path | None = None
) -> onnxruntime.InferenceSession:
    """A session; with `profile` ONNX Runtime writes the time of every node to files that begin with this path."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def network(model: onnx.ModelProto, threads: int | None = None) -> Network:
    """A graph as the runtime's loop calls it."""
    return network_of(session(model, threads), [value.name for value in model.graph.output])


def network_of(loaded: onnxruntime.InferenceSession, outputs: Sequence[str]) -> Network:
    """A session as the runtime's loop calls it, with these outputs."""
    inputs = frozenset(node.name for node in loaded.get_inputs())

    def run(feeds: Feeds) -> Feeds:
        return dict(
            zip(outputs, loaded.run(list(outputs), {name: feeds[name] for name in inputs}), strict=True)
        )

    function: Run = run
    return Network(inputs, function)


def exposing(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The graph with these tensors as further outputs."""
    given = {value.name for value in [*model.graph.output, *model.graph.input]}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in given)
    return result
