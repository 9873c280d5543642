from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser

from fewstep_export.passes.drop_casts import DropCasts

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(body: str, result: str = "float") -> onnx.ModelProto:
    """A graph of x and y; shapes and types of its values are inferred."""
    header = '<ir_version: 10, opset_import: ["": 20]>'
    text = f"{header} main (float[2, 3] x, float[2, 3] y) => ({result}[2, 3] z) {{ {body} }}"
    return onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))


def test_casts_to_the_same_type_go(apply: Callable[..., onnx.ModelProto]) -> None:
    before = model("a = Cast<to: int = 1>(x) b = CastLike(a, y) z = Add(b, y)")
    after = apply(DropCasts(), before, {"x": X, "y": X})
    assert [node.op_type for node in after.graph.node] == ["Add"]
    assert list(after.graph.node[0].input) == ["x", "y"]


def test_casts_to_another_type_stay(apply: Callable[..., onnx.ModelProto]) -> None:
    before = model("a = Cast<to: int = 10>(x) b = CastLike(a, y) z = Add(b, y)")
    after = apply(DropCasts(), before, {"x": X, "y": X})
    assert [node.op_type for node in after.graph.node] == ["Cast", "CastLike", "Add"]


def test_an_output_that_is_cast_keeps_its_name(apply: Callable[..., onnx.ModelProto]) -> None:
    after = apply(DropCasts(), model("a = Add(x, y) z = Cast<to: int = 1>(a)"), {"x": X, "y": X})
    assert [value.name for value in after.graph.output] == ["z"]
