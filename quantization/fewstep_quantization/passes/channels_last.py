"""Pixels as rows: the pointwise convolutions of an NCHW graph as matrix products over (B, h, w, C).

A 1 x 1 convolution is x W over the channels. ONNX Runtime has integer kernels for matrix products with float output and a
fused bias, none for convolutions: `QLinearConv` rounds its output to 8 bits as well. Written as products, the pixels want their
channels last, and so do the elementwise work, the normalisations and the splits around them; the layout is carried
through these, and a Transpose stands only where an operator insists on NCHW (a reshape into heads, a spatial convolution).
"""

from collections.abc import Mapping

import numpy as np
import onnx

from fewstep_quantization.convolutions import is_spatial
from fewstep_quantization.graph import TO_FIRST, TO_LAST, Array, Rewriter, attributes, constants, is_scalar

_ELEMENTWISE = frozenset(
    [
        "Abs",
        "Add",
        "Cast",
        "Clip",
        "Cos",
        "Div",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pow",
        "Reciprocal",
        "Relu",
        "Sigmoid",
        "Sin",
        "Softplus",
        "Sqrt",
        "Sub",
        "Tanh",
    ]
)
_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum"})


def to_channels_last(model: onnx.ModelProto, spatial: bool = False) -> onnx.ModelProto:
    """The same function with every pointwise convolution as MatMul (and Add) over (B, h, w, C).

    Args:
        model: a graph; one without pointwise convolutions comes back as it is.
        spatial: carry the layout on behind spatial convolutions too, for a scheme that has them in integers.
    """
    known = constants(model)
    if not any(_pointwise(node, known) for node in model.graph.node):
        return model
    return _ChannelsLast(model, spatial).run()


class _ChannelsLast:
    """One walk through the graph; `_last` and `_first` name a tensor's version in each layout, made when first asked for."""

    def __init__(self, model: onnx.ModelProto, spatial: bool) -> None:
        self._spatial = spatial
        self._graph = Rewriter(model)
        self._model = model
        self._last: dict[str, str] = {}
        self._only_last: set[str] = set()

    def run(self) -> onnx.ModelProto:
        for node in self._graph.old_nodes:
            if _pointwise(node, self._graph.constants):
                self._convolution(node)
            elif any(name in self._last for name in node.input) and self._fits(node):
                self._carry(node)
            else:
                for name in node.input:
                    self._as_first(name)
                self._graph.keep(node)
                if (
                    self._spatial
                    and len(node.input) > 1
                    and is_spatial(node, self._graph.constants.get(node.input[1]))
                ):
                    self._as_last(node.output[0])
        for value in self._model.graph.output:
            self._as_first(value.name)
        return self._graph.model()

    def _convolution(self, node: onnx.NodeProto) -> None:
        kernel = self._graph.constants[node.input[1]]
        weights = self._graph.constant(
            np.ascontiguousarray(kernel[:, :, 0, 0].T), f"{node.output[0]}_weights"
        )
        result = self._graph.add("MatMul", [self._as_last(node.input[0]), weights])
        if len(node.input) > 2 and node.input[2]:
            result = self._graph.add("Add", [result, node.input[2]])
        self._made_last(node.output[0], result)

    def _fits(self, node: onnx.NodeProto) -> bool:
        """Whether the node can work with the channels in the last place."""
        if node.op_type in _ELEMENTWISE:
            return all(self._movable(name) for name in node.input if name)
        if node.op_type in _REDUCTIONS:
            given = attributes(node)
            axes = self._graph.constants.get(node.input[1]) if len(node.input) > 1 else None
            return given.get("keepdims", 1) == 1 and axes is not None
        return node.op_type == "Split"

    def _movable(self, name: str) -> bool:
        """A scalar, or four sizes; a constant may leave out the batch."""
        constant = self._graph.constants.get(name)
        return self._graph.rank(name) == 4 or (
            constant is not None and (is_scalar(constant) or constant.ndim == 3)
        )

    def _carry(self, node: onnx.NodeProto) -> None:
        """The same node, channels last."""
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        if node.op_type in _ELEMENTWISE:
            inputs = [self._as_last(name) if name else name for name in node.input]
        else:
            inputs = [self._as_last(node.input[0]), *node.input[1:]]
            self._move_axes(moved, inputs)
        outputs = [self._graph.fresh(f"{name}_last") for name in node.output]
        del moved.input[:], moved.output[:]
        moved.input.extend(inputs)
        moved.output.extend(outputs)
        self._graph.keep(moved)
        for name, output in zip(node.output, outputs, strict=True):
            self._made_last(name, output)

    def _move_axes(self, node: onnx.NodeProto, inputs: list[str]) -> None:
        """Writes the axes of a reduction or a split for the other layout; `inputs` are changed in place."""
        if node.op_type == "Split":
            (axis,) = (a for a in node.attribute if a.name == "axis")
            axis.i = TO_LAST.index(axis.i % 4)
        else:
            axes = [TO_LAST.index(int(axis) % 4) for axis in self._graph.constants[inputs[1]].ravel()]
            inputs[1] = self._graph.constant(np.array(axes, dtype=np.int64), f"{node.output[0]}_axes")

    def _as_last(self, name: str) -> str:
        """The name of the tensor with the channels last."""
        if name not in self._last:
            constant = self._graph.constants.get(name)
            if constant is None:
                self._last[name] = self._graph.add("Transpose", [name], perm=TO_LAST)
            elif is_scalar(constant):
                self._last[name] = name
            else:
                full = constant.reshape((1,) * (4 - constant.ndim) + constant.shape)
                self._last[name] = self._graph.constant(
                    np.ascontiguousarray(full.transpose(TO_LAST)), f"{name}_last"
                )
        return self._last[name]

    def _made_last(self, name: str, last: str) -> None:
        self._last[name] = last
        self._only_last.add(name)

    def _as_first(self, name: str) -> None:
        """Makes sure that the tensor exists as it was."""
        if name in self._only_last:
            self._graph.add("Transpose", [self._last[name]], name, perm=TO_FIRST)
            self._only_last.remove(name)


def _pointwise(node: onnx.NodeProto, known: Mapping[str, Array]) -> bool:
    """Whether the node is a 1 x 1 convolution of stride 1 over all channels with constant weights."""
    if node.op_type != "Conv":
        return False
    given = attributes(node)
    kernel = known.get(node.input[1])
    return (
        kernel is not None
        and kernel.shape[2:] == (1, 1)
        and given.get("group", 1) == 1
        and set(given.get("strides", [1])) == {1}
        and not any(given.get("pads", []))
    )
