"""ONNX graphs that somebody else has exported, with a JSON file that says what they are; docs/checkpoints.md explains it.

The graphs become ours by their names and types: a Cast, or a few, before and behind what is there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from fewstep.errors import FewstepError
from fewstep.manifest import Guidance, Image, Latent, Licence, Prompts, Sampling, TokenizerFile
from fewstep.records import from_json
from fewstep.strict_json import load_json
from fewstep_export.components import Generator, GraphComponent, TokenizerSource
from fewstep_export.onnx_export import BATCH, OPSET, check

_FLOAT, _INT = ir.DataType.FLOAT, ir.DataType.INT32


@dataclass(frozen=True)
class GraphDescription:
    """A graph of somebody else's.

    Args:
        file: beside the description.
        inputs: our names of inputs -> the graph's. A timestep of one value, or without a dimension, takes the first of the batch.
        outputs: our names of outputs -> the graph's.
        image_range: the values of black and white of a decoder's picture; ours are 0 and 1.
    """

    file: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    image_range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Description:
    """What docs/checkpoints.md explains; most fields are those of a bundle's manifest."""

    name: str
    graphs: Mapping[str, GraphDescription]
    tokenizers: tuple[TokenizerFile, ...]
    sampling: Sampling
    guidance: Guidance
    latent: Latent
    image: Image
    prompts: Prompts = field(default_factory=Prompts)
    licences: tuple[Licence, ...] = ()


def load_described(path: Path) -> Generator:
    """The model of a description.

    Raises:
        FewstepError: the description is wrong, a file is missing, or a graph has not what is said of it.
    """
    description = from_json(Description, load_json(path), path.name)
    total = hashlib.sha256(path.read_bytes())
    components = []
    for name, graph in description.graphs.items():
        content = _content(path.parent / graph.file)
        total.update(hashlib.sha256(content).digest())
        components.append(adapt(name, onnx.load_model_from_string(content), graph))
    tokenizers = []
    for record in description.tokenizers:
        content = _content(path.parent / record.file)
        total.update(hashlib.sha256(content).digest())
        tokenizers.append(TokenizerSource(record, content.decode("utf-8")))
    order = ("text_encoder", "denoiser", "decoder")
    return Generator(
        name=description.name,
        components=tuple(sorted(components, key=lambda component: order.index(component.name))),
        tokenizers=tuple(tokenizers),
        sampling=description.sampling,
        guidance=description.guidance,
        latent=description.latent,
        image=description.image,
        prompts=description.prompts,
        licences=description.licences,
        checkpoint_sha256=total.hexdigest(),
    )


def adapt(name: str, source: onnx.ModelProto, description: GraphDescription) -> GraphComponent:
    """A component with our names and types around a graph.

    Raises:
        FewstepError: the graph has other inputs or outputs than said, or an older opset than ours can be made of.
    """
    model = ir.serde.deserialize_model(_converted(name, source))
    graph = model.graph
    _require_names(
        name, "inputs", description.inputs, [str(value.name) for value in graph.inputs], exact=True
    )
    _require_names(name, "outputs", description.outputs, [str(value.name) for value in graph.outputs])
    for ours, theirs in description.inputs.items():
        _adapt_input(graph, ours, theirs)
    outputs = {str(value.name): value for value in graph.outputs}
    graph.outputs[:] = [
        _adapt_output(graph, ours, outputs[theirs], description)
        for ours, theirs in description.outputs.items()
    ]
    order = list(description.inputs)
    graph.inputs[:] = sorted(graph.inputs, key=lambda value: order.index(str(value.name)))
    adapted = ir.serde.serialize_model(ShapeInferencePass()(model).model)
    check(adapted)
    return GraphComponent(name, adapted, tuple(description.inputs), tuple(description.outputs))


def _converted(name: str, source: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in our opset."""
    versions = [entry.version for entry in source.opset_import if entry.domain in ("", "ai.onnx")]
    if versions == [OPSET]:
        return source
    try:
        return onnx.version_converter.convert_version(source, OPSET)
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[0]
        raise FewstepError(
            f"expected a graph of opset {OPSET}, or one that onnx converts, found opset {versions} ({reason[:120]}), in the graph "
            f"of '{name}'; export it again with opset {OPSET}"
        ) from error


def _require_names(
    component: str, side: str, said: Mapping[str, str], found: list[str], exact: bool = False
) -> None:
    missing = sorted(set(said.values()) - set(found)) or (
        sorted(set(found) - set(said.values())) if exact else []
    )
    if missing:
        raise FewstepError(
            f"expected the {side} {', '.join(sorted(said.values()))} as described, found {', '.join(found)}, in the graph of "
            f"'{component}'; correct '{missing[0]}' in the description"
        )


def _adapt_input(graph: ir.Graph, ours: str, theirs: str) -> None:
    """Puts our input, with a free batch, before the graph's."""
    old = next(value for value in graph.inputs if value.name == theirs)
    old.name = f"described.{theirs}"  # so that ours may have the same name
    whole = ours in ("input_ids", "text_skip") or ours.startswith(("input_ids_", "text_skip_"))
    sizes = list(old.shape) if old.shape is not None else []
    single = ours == "timestep" and (not sizes or sizes[0] == 1)
    new = ir.Value(
        name=ours,
        shape=ir.Shape([BATCH, *sizes[1:]]),
        type=ir.TensorType(_INT if whole else _FLOAT),
    )
    value = _first(graph, new, bool(sizes)) if single else new
    if old.dtype != new.dtype:
        assert old.dtype is not None
        value = _before(graph, ir.node("Cast", [value], {"to": old.dtype.value}))
    ir.convenience.replace_all_uses_with(old, value)
    graph.inputs[list(graph.inputs).index(old)] = new


def _first(graph: ir.Graph, value: ir.Value, keep: bool) -> ir.Value:
    """The first value of a batch, as a tensor of one value or without a dimension."""
    index = ir.tensor(np.array([0] if keep else 0, dtype=np.int64), name=f"{value.name}.first")
    constant = ir.Value(
        name=index.name,
        shape=ir.Shape([1] if keep else []),
        type=ir.TensorType(ir.DataType.INT64),
        const_value=index,
    )
    graph.register_initializer(constant)
    return _before(graph, ir.node("Gather", [value, constant], {"axis": 0}))


def _before(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """Adds a node to the beginning, behind those added before."""
    output = node.outputs[0]
    output.name = f"described.{len(graph)}"
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    if producer is not None:
        graph.insert_after(producer, node)
    else:
        graph.insert_before(graph[0], node)
    return output


def _adapt_output(graph: ir.Graph, ours: str, value: ir.Value, description: GraphDescription) -> ir.Value:
    """Our output behind the graph's: float32, and a picture in [0, 1]."""
    shape = ir.Shape([BATCH, *list(value.shape or [])[1:]])
    value.name = f"described.{value.name}"
    value = _behind(graph, ir.node("Cast", [value], {"to": _FLOAT.value}))
    if ours == "image":
        black, white = description.image_range
        value = _behind(graph, ir.node("Sub", [value, _scalar(graph, "black", black)]))
        value = _behind(graph, ir.node("Div", [value, _scalar(graph, "contrast", white - black)]))
        value = _behind(graph, ir.node("Clip", [value, _scalar(graph, "zero", 0), _scalar(graph, "one", 1)]))
    value.name, value.shape, value.type = ours, shape, ir.TensorType(_FLOAT)
    return value


def _behind(graph: ir.Graph, node: ir.Node) -> ir.Value:
    graph.append(node)
    node.outputs[0].name = f"described.{len(graph)}"
    return node.outputs[0]


def _scalar(graph: ir.Graph, name: str, number: float) -> ir.Value:
    tensor = ir.tensor(np.array(number, dtype=np.float32), name=f"described.{name}")
    value = ir.Value(name=tensor.name, shape=ir.Shape([]), type=ir.TensorType(_FLOAT), const_value=tensor)
    graph.register_initializer(value)
    return value


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise FewstepError(
            f"expected the file {path.name}, found none, in {path.parent}; check the description"
        )
    return path.read_bytes()
