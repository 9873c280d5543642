"""What depends on the prompt alone, taken out of the step: computed once a picture, used at every step.

In a text-to-image denoiser that is the projection of the text and the keys and values of every cross-attention (in models
whose modulation depends on the text alone, the modulation as well).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from fewstep.errors import FewstepError
from fewstep_export.loop_forms.graph_builder import GraphBuilder, batched_shape
from fewstep_export.onnx_export import check

PREFIX = "hoisted_"


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
    names = _boundary(ir.serde.deserialize_model(model).graph, fixed)
    if not names:
        raise FewstepError(
            f"expected something that depends on {', '.join(sorted(fixed))} alone, found nothing to hoist; export without --hoist"
        )
    prompt, step = ir.serde.deserialize_model(model), ir.serde.deserialize_model(model)
    _keep_prompt(prompt.graph, fixed, names)
    _keep_step(step.graph, names)
    return Hoisted(_finish(prompt), _finish(step))


def into_text_encoder(text_encoder: onnx.ModelProto, prompt: onnx.ModelProto) -> onnx.ModelProto:
    """A text encoder that gives what the hoisted step wants, so that the runtime needs no third graph.

    Args:
        text_encoder: tokens -> text states.
        prompt: of a :class:`Hoisted`; what it reads comes from the encoder or, like the mask, from the tokenizer.

    Returns:
        tokens -> ``hoisted_0`` ...
    """
    encoder, rest = (ir.serde.deserialize_model(model).graph for model in (text_encoder, prompt))
    builder = GraphBuilder("text_encoder")
    wanted = {str(v.name): v for v in (*encoder.inputs, *rest.inputs)}
    made = {str(value.name) for value in encoder.outputs}
    tokens = {
        name: builder.input(name, batched_shape(value), value.dtype or ir.DataType.FLOAT)
        for name, value in wanted.items()
        if name not in made
    }
    states = builder.inline(encoder, tokens, "text_encoder", "text_encoder")
    hoisted = builder.inline(rest, {**tokens, **states}, "denoiser", "prompt")
    for value in rest.outputs:
        builder.output(hoisted[str(value.name)], str(value.name), batched_shape(value))
    return builder.build()


def _boundary(graph: ir.Graph, fixed: frozenset[str]) -> list[str]:
    """Names of the values that depend on the fixed inputs alone and that something else uses, in order."""
    depends: dict[ir.Value, frozenset[str]] = {value: frozenset({str(value.name)}) for value in graph.inputs}
    for node in graph:
        found = frozenset().union(
            *(depends.get(value, frozenset()) for value in node.inputs if value is not None)
        )
        depends.update(dict.fromkeys(node.outputs, found))

    def early(value: ir.Value) -> bool:
        return bool(depends[value]) and depends[value] <= fixed

    return [
        str(value.name)
        for node in graph
        for value in node.outputs
        if early(value) and not all(early(user.outputs[0]) for user, _ in value.uses())
    ]


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
