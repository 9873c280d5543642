"""FP16 weights and activations, with FP32 islands where half precision is not enough."""

from functools import partial

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from fewstep.errors import FewstepError
from fewstep_export.passes.clean_metadata import CLASS, SCOPE, class_of, scope_of
from fewstep_export.passes.lazy_tensor import Array, converted

FP16_MAX = 65504.0
_LOWEST = float(np.finfo(np.float32).min)

FP32_CLASSES = frozenset(
    {
        "ChannelLayerNorm",
        "ChannelRMSNorm",
        "GeneralisedLinearAttention",
        "GroupNorm",
        "HeadRMSNorm",
        "KernelLinearAttention",
        "LinearAttention",
        "MultiscaleLinearAttention",
        "SSD",
        "TimeEmbedding",
        "TimestepEmbedder",
        # of diffusers and transformers
        "Gemma2RMSNorm",
        "Gemma2RotaryEmbedding",
        "GuidanceEmbedding",
        "Qwen3RMSNorm",
        "Qwen3RotaryEmbedding",
        "RMSNorm",
        "SanaMultiscaleLinearAttention",
        "T5LayerNorm",
        "Timesteps",
    }
)
"""Modules whose own arithmetic stays in FP32 (their linear layers and convolutions are modules of their own, in FP16): angles reach
1000 where FP16 has a spacing of 0.5; squares of a norm overflow from 256 on; sums over all positions lose small terms."""

FP32_OPS = frozenset(
    {
        "LayerNormalization",
        "Softmax",
        "ReduceMean",
        "ReduceSum",
        "Pow",
        "Sqrt",
        "Reciprocal",
        "Exp",
        "Sin",
        "Cos",
        "Div",
        "ConstantOfShape",
    }
)
"""Statistics and ratios, wherever they stand."""

LAYOUT_OPS = frozenset(
    {
        "Reshape",
        "Transpose",
        "Split",
        "Slice",
        "Squeeze",
        "Unsqueeze",
        "Concat",
        "Expand",
        "Gather",
        "Identity",
        "DepthToSpace",
    }
)
"""These move values and have the precision of what they move."""

_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Clip"})
_FP32_INPUTS = {"Resize": (1, 2)}  # region and scales are float32 by the operator's definition
_LARGE = 1024  # values; a larger weight of an island is stored in FP16 and cast, as the checkpoint stores it in FP16 too

_HALF, _FULL = ir.DataType.FLOAT16, ir.DataType.FLOAT


class ToFp16(ir.passes.InPlacePass):
    """Half precision, where it is enough.

    1. FP32 stay nodes of FP32_OPS, nodes that belong directly to a module of FP32_CLASSES, and, as in torch's type promotion,
       element-wise nodes in the same module as an FP32 node whose value they use.
    2. Nodes of LAYOUT_OPS have the precision of their first floating-point input; all other nodes are FP16.
    3. Inputs and outputs of the graph stay float32. Where precisions meet there is one Cast a value and direction.
    4. Weights of FP16 nodes are stored in FP16; so are large weights of FP32 nodes, behind a Cast.

    Raises:
        FewstepError: a weight does not fit FP16; the message names it.
        PreconditionError: the type of a value is unknown; infer shapes first.
    """

    def requires(self, model: ir.Model) -> None:
        unknown = [value.name for node in model.graph for value in node.outputs if value.dtype is None]
        if unknown:
            raise ir.passes.PreconditionError(
                f"expected values of known type, found {', '.join(map(str, unknown))}"
            )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        if any(value.dtype == _HALF for value in model.graph.initializers.values()):
            return ir.passes.PassResult(model, modified=False)  # done before
        model.graph.sort()
        casts = _Casts(model.graph)
        full = _islands(model.graph)
        for node in list(model.graph):
            _retype(node, _FULL if node in full else _HALF, casts)
        _keep_outputs_float32(model.graph)
        common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=True)


def _islands(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that stay FP32, rules 1 and 2."""
    full: set[ir.Node] = set()
    for node in graph:
        producers = [value.producer() for value in node.inputs if value is not None and value.dtype == _FULL]
        if node.op_type in LAYOUT_OPS:
            stays = bool(producers) and producers[0] in full
        else:
            promoted = node.op_type in _ELEMENTWISE and any(
                p in full and p is not None and scope_of(p) == scope_of(node) for p in producers
            )
            stays = node.op_type in FP32_OPS or class_of(node) in FP32_CLASSES or promoted or _tanh_gelu(node)
        if stays:
            full.add(node)
    return full


def _tanh_gelu(node: ir.Node) -> bool:
    """GELU by tanh computes x^3, which overflows FP16 from 40 on."""
    return node.op_type == "Gelu" and node.attributes.get_string("approximate", "none") == "tanh"


def _retype(node: ir.Node, dtype: ir.DataType, casts: "_Casts") -> None:
    """Makes the float inputs and outputs of a node those of a precision."""
    kept = _FP32_INPUTS.get(node.op_type, ())
    for i, value in enumerate(node.inputs):
        if value is not None and value.dtype in (_FULL, _HALF) and i not in kept:
            node.replace_input_with(i, casts.to(value, dtype))
    if node.op_type == "Cast" and node.outputs[0].dtype == _FULL:
        node.attributes["to"] = ir.AttrInt64("to", dtype.value)
    for value in node.outputs:
        if value.dtype == _FULL:
            value.dtype = dtype


class _Casts:
    """The values of a graph in the other precision, made once each."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._made: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def to(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        large = value.is_initializer() and value.const_value is not None and value.const_value.size > _LARGE
        if large and value.dtype == _FULL:
            value = self._get(value, _HALF)
        return value if value.dtype == dtype else self._get(value, dtype)

    def _get(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        key = (value, dtype)
        if key not in self._made:
            constant = value.is_initializer() and dtype == _HALF
            self._made[key] = self._constant(value) if constant else self._cast(value, dtype)
        return self._made[key]

    def _constant(self, value: ir.Value) -> ir.Value:
        assert value.const_value is not None
        name = f"{value.name}.fp16"
        to_half = partial(_to_half, name=value.name or "")
        tensor = converted(value.const_value, to_half, name, _HALF)
        half = ir.Value(name=name, shape=value.shape, type=ir.TensorType(_HALF), const_value=tensor)
        self._graph.register_initializer(half)
        return half

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        name = f"{value.name}.{'fp16' if dtype == _HALF else 'fp32'}"
        output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(dtype))
        producer = value.producer()
        facts = {
            key: producer.metadata_props[key]
            for key in (SCOPE, CLASS)
            if producer and key in producer.metadata_props
        }
        node = ir.node("Cast", [value], {"to": dtype.value}, outputs=[output], metadata_props=facts)
        node.name = "/".join(filter(None, (scope_of(node), name)))
        if producer is None:
            self._graph.insert_before(self._graph[0], node)
        else:
            self._graph.insert_after(producer, node)
        return output


def _to_half(values: Array, name: str) -> Array:
    """The values in FP16; what masks add to a score that shall not count becomes FP16's own lowest number."""
    values = np.where(np.less_equal(values, _LOWEST), -FP16_MAX, values)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= FP16_MAX:
        raise FewstepError(
            f"expected weights of at most {FP16_MAX:g} in FP16, found {largest:g}, in {name}; export with --precision fp32 only"
        )
    return values.astype(np.float16)


def _keep_outputs_float32(graph: ir.Graph) -> None:
    """Puts a Cast behind every FP16 output of the graph; the Cast takes over the output's name."""
    for i, value in enumerate(graph.outputs):
        if value.dtype != _HALF:
            continue
        producer, name = value.producer(), value.name
        assert producer is not None
        value.name = f"{name}.fp16"
        output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(_FULL))
        node = ir.node("Cast", [value], {"to": _FULL.value}, outputs=[output])
        node.name = f"{name}.fp32"
        graph.append(node)
        graph.outputs[i] = output
