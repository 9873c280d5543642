"""Everything that cannot be lowered is named at once, before anything is written."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from fewstep.errors import FewstepError
from fewstep_export.coreml.convert import convert


def _model(nodes: list[onnx.NodeProto], shape: list[int]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, None)]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_all_problems_are_listed_with_node_and_scope(tmp_path: Path) -> None:
    unknown = helper.make_node("Det", ["x"], ["a"], name="block/det")
    unknown.metadata_props.add(key="fewstep.scope", value="block")
    pooled = helper.make_node("DepthToSpace", ["x"], ["b"], name="up/shuffle", blocksize=2, mode="DCR")
    strange = helper.make_node("Softmax", ["x"], ["c"], name="softmax", axis=-1, colour=3)
    computed = helper.make_node("Reshape", ["x", "x"], ["y"], name="reshape")
    with pytest.raises(FewstepError) as caught:
        convert(_model([unknown, pooled, strange, computed], [1, 4, 2, 2]), tmp_path / "p.mlpackage")
    for text in (
        "4 problems, in p.mlpackage",
        "unknown operator Det of node 'block/det' in scope 'block'",
        "mode = 'DCR' where 'CRD' is known, DepthToSpace of node 'up/shuffle'",
        "unknown attribute colour, Softmax of node 'softmax'",
        "input 1 is computed where a constant is needed, Reshape of node 'reshape'",
    ):
        assert text in str(caught.value)
    assert not list(tmp_path.iterdir())
