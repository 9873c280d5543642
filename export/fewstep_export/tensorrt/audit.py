"""Whether TensorRT computes in FP16 what the graph asks for in FP16, in one kernel what is attention, and nothing wide in INT64."""

from collections.abc import Iterator, Sequence

import onnx
from onnx import TensorProto

from fewstep.errors import FewstepError
from fewstep.tensorrt.build import Built
from fewstep.tensorrt.layers import Layer

_FULL = {"FLOAT", "TF32"}
SMALL = 64
"""Numbers up to which an INT64 tensor is arithmetic on shapes."""


def require_asked_types(model: onnx.ModelProto, layers: Sequence[Layer], name: str) -> None:
    """Refuses a network in which a layer computes in FP32 what its node computes in FP16.

    A strongly typed network leaves the builder no choice of its own, so that what holds for its layers holds for the engine.

    Raises:
        FewstepError: there is such a layer, or no layer can be assigned to a node.
    """
    fallen = list(fallen_back(model, layers))
    if fallen:
        raise FewstepError(
            f"expected no layer in FP32 whose node is in FP16, found {len(fallen)}, in {name}: {', '.join(fallen[:5])}"
        )


def fallen_back(model: onnx.ModelProto, layers: Sequence[Layer]) -> Iterator[str]:
    """The nodes whose result is FP16 in the graph and FP32 in a layer.

    Raises:
        FewstepError: no node of the graph has a layer: the parser names its layers in another way than is known here.
    """
    half = half_nodes(model)
    known = {node for layer in layers for node in layer.nodes}
    if half and not half & known:
        raise FewstepError(
            "expected layers with the names of their nodes, found none; is the library newer than 11?"
        )
    for layer in layers:
        if set(layer.dtypes) & _FULL:
            yield from (node for node in layer.nodes if node in half)


def unfused_attention(built: Built) -> list[str]:
    """The softmax layers that the builder did not put into one kernel with the products around them."""
    softmax = (layer.name for layer in built.layers if layer.kind == "SOFTMAX")
    return [name for name in softmax if name not in built.attention]


def wide_int64(layers: Sequence[Layer]) -> list[str]:
    """The layers that compute data in INT64, which is slow on a GPU; arithmetic on shapes is small, and done on the host; constants are there."""
    return [
        layer.name
        for layer in layers
        for dtype, size in zip(layer.dtypes, layer.sizes, strict=True)
        if dtype == "INT64" and size > SMALL and layer.kind != "CONSTANT"
    ]


def half_nodes(model: onnx.ModelProto) -> set[str]:
    """The names of the nodes of which every output is FP16."""
    typed = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*typed.value_info, *typed.output)}
    return {
        node.name
        for node in typed.node
        if node.name and all(types.get(name) == TensorProto.FLOAT16 for name in node.output if name)
    }
