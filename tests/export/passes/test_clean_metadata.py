from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir

from fewstep_export.components import Feeds
from fewstep_export.onnx_export import to_bytes
from fewstep_export.passes.clean_metadata import CleanMetadata, class_of, scope_of


def test_the_exporter_does_write_paths(sample: tuple[onnx.ModelProto, Feeds]) -> None:
    assert str(Path(__file__).parent).encode() in to_bytes(sample[0])


def test_paths_go_and_scopes_stay(
    sample: tuple[onnx.ModelProto, Feeds], apply: Callable[..., onnx.ModelProto]
) -> None:
    after = apply(CleanMetadata(), *sample)
    assert str(Path(__file__).parent).encode() not in to_bytes(after)
    assert b"pkg.torch" not in to_bytes(after)
    nodes = {node.op_type: node for node in ir.serde.deserialize_model(after).graph}
    assert (scope_of(nodes["Conv"]), class_of(nodes["Conv"])) == ("conv", "Conv2d")
    assert nodes["Conv"].name == "conv/conv2d"
    assert (scope_of(nodes["Div"]), class_of(nodes["Div"])) == ("", "Sample")


def test_names_of_nodes_are_unique(
    sample: tuple[onnx.ModelProto, Feeds], apply: Callable[..., onnx.ModelProto]
) -> None:
    names = [node.name for node in apply(CleanMetadata(), *sample).graph.node]
    assert len(set(names)) == len(names)
