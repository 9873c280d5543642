"""What depends on the prompt alone, taken out of the step: computed once a picture, used at every step.

In a text-to-image denoiser that is the projection of the text and the keys and values of every cross-attention (in models
whose modulation depends on the text alone, the modulation as well).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from fewstep.errors import FewstepError
from fewstep_export.onnx_export import check

PREFIX = "hoisted_"
DTYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.BOOL)
"""What a manifest can describe."""


@dataclass(frozen=True)
class Hoisted:
    """A network in two parts: `step(latents, timestep, *prompt(conditions))` is what the whole one computes.

    Attributes:
        prompt: conditions -> ``hoisted_0`` ...
        step: the other inputs and ``hoisted_0`` ... -> the network's outputs.
    """

    prompt: onnx.ModelProto
    step: onnx.ModelProto


def hoist(model: onnx.ModelProto, conditions: Iterable[str]) -> Hoisted:
    """Splits a graph by what its values depend on.

    Args:
        model: an exported network.
        conditions: the inputs that stay the same through a run.

    Raises:
        FewstepError: nothing depends on the conditions alone.
    """
    fixed = frozenset(conditions)
    model = ir.serde.serialize_model(ShapeInferencePass()(ir.serde.deserialize_model(model)).model)
    names = _boundary(ir.serde.deserialize_model(model).graph, fixed)
    if not names:
        raise FewstepError(
            f"expected something that depends on {', '.join(sorted(fixed))} alone, found nothing to hoist; export without --hoist"
        )
    prompt, step = ir.serde.deserialize_model(model), ir.serde.deserialize_model(model)
    _keep_prompt(prompt.graph, fixed, names)
    _keep_step(step.graph, names)
    return Hoisted(_finish(prompt), _finish(step))


def _boundary(graph: ir.Graph, fixed: frozenset[str]) -> list[str]:
    """Names of the values that the step takes from the prompt's half, in order."""
    early = _early_nodes(graph, fixed)
    for node in reversed(graph):  # what cannot be handed over is computed in the step, from what can
        if node in early and not all(
            _portable(value, graph) for value in node.outputs if _leaves(value, early)
        ):
            early.remove(node)
    return [
        str(value.name) for node in graph if node in early for value in node.outputs if _leaves(value, early)
    ]


def _early_nodes(graph: ir.Graph, fixed: frozenset[str]) -> set[ir.Node]:
    """The nodes that depend on fixed inputs, and on nothing else but constants."""
    known: set[ir.Value] = {value for value in graph.inputs if value.name in fixed}
    constant = set(graph.initializers.values())
    early: set[ir.Node] = set()
    for node in graph:
        given = {value for value in node.inputs if value is not None}
        if given <= constant:
            constant.update(node.outputs)
        elif given <= constant | known:
            known.update(node.outputs)
            early.add(node)
    return early


def _leaves(value: ir.Value, early: set[ir.Node]) -> bool:
    """Whether something else needs it."""
    return value.is_graph_output() or any(user not in early for user, _ in value.uses())


def _portable(value: ir.Value, graph: ir.Graph) -> bool:
    """Whether it is a tensor of one row a picture, so that batches of it can be joined, repeated and split."""
    batch = graph.inputs[0].shape
    assert batch is not None
    shape = value.shape
    return (
        shape is not None
        and value.dtype in DTYPES
        and len(shape) > 0
        and shape[0] == batch[0]
        and all(isinstance(size, int) for size in shape[1:])
    )


def _keep_prompt(graph: ir.Graph, fixed: frozenset[str], names: list[str]) -> None:
    """Makes the boundary the output."""
    values = {value.name: value for node in graph for value in node.outputs}
    boundary = [values[name] for name in names]
    graph.outputs[:] = boundary
    graph.inputs[:] = [value for value in graph.inputs if value.name in fixed]
    for i, value in enumerate(boundary):
        value.name = f"{PREFIX}{i}"


def _keep_step(graph: ir.Graph, names: list[str]) -> None:
    """Makes the boundary an input."""
    values = {value.name: value for node in graph for value in node.outputs}
    for i, name in enumerate(names):
        old = values[name]
        new = ir.Value(name=f"{PREFIX}{i}", shape=old.shape, type=old.type)
        ir.convenience.replace_all_uses_with(old, new)
        graph.inputs.append(new)


def _finish(model: ir.Model) -> onnx.ModelProto:
    model = RemoveUnusedNodesPass()(model).model
    model.graph.inputs[:] = [value for value in model.graph.inputs if value.uses()]
    result = ir.serde.serialize_model(model)
    check(result)
    return result
