"""Where a graph begins to differ from the torch program it was translated from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from fewstep_export.components import Array, Feeds
from fewstep_export.onnx_export import ExportedComponent
from fewstep_export.session import tensors


@dataclass(frozen=True)
class Difference:
    """A tensor of the graph, the node that makes it, and its error relative to the largest value in torch."""

    tensor: str
    node: str
    operator: str
    relative_error: float


def relative_error(found: Array, expected: Array) -> float:
    """The largest |found - expected| over the largest |expected|; infinity if a value is not finite, or the shapes differ."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    error = float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))
    scale = float(np.abs(expected).max(initial=0.0))
    return error / scale if scale else (float("inf") if error else 0.0)


def first_difference(
    model: onnx.ModelProto, exported: ExportedComponent, feeds: Feeds, tolerance: float
) -> Difference | None:
    """The first tensor, in order of execution, whose relative error is above the tolerance.

    Tensors of the graph and of the torch program are matched by name: the exporter and all passes keep them.
    If no matched tensor is above the tolerance, it is the one with the largest error; None if nothing differs.
    """
    expected = program_tensors(exported, feeds)
    makers = {name: node for node in model.graph.node for name in node.output}
    worst: Difference | None = None
    for name, found in tensors(model, feeds).items():
        if name not in expected:
            continue
        difference = Difference(
            name, makers[name].name, makers[name].op_type, relative_error(found, expected[name])
        )
        if difference.relative_error > tolerance:
            return difference
        if difference.relative_error > (worst.relative_error if worst else 0.0):
            worst = difference
    return worst


def program_tensors(exported: ExportedComponent, feeds: Feeds) -> dict[str, Array]:
    """Every floating-point tensor of the torch program by name, and its outputs by theirs; these alone without a program."""
    program, component = exported.program, exported.component
    if program is None:
        return dict(component.run(feeds))
    recorder = _Recorder(program.graph_module)
    with torch.inference_mode():
        outputs = recorder.run(*_arguments(program, iter([feeds[name] for name in component.inputs])))
    found = {name: value.numpy() for name, value in recorder.tensors.items() if value.is_floating_point()}
    return found | {name: value.numpy() for name, value in zip(component.outputs, outputs, strict=True)}


def _arguments(program: ExportedProgram, inputs: Iterator[Array]) -> list[torch.Tensor]:
    """Weights, constants and inputs in the order of the program's placeholders."""
    lifted: Mapping[str, torch.Tensor] = {**program.state_dict, **program.constants}
    arguments = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            arguments.append(torch.from_numpy(next(inputs)))
        else:
            assert spec.target is not None
            arguments.append(lifted[spec.target])
    return arguments


class _Recorder(torch.fx.Interpreter):
    """Runs a torch program and keeps every tensor under the name of its node."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.tensors: dict[str, torch.Tensor] = {}

    def run_node(self, n: torch.fx.Node) -> object:
        result: object = super().run_node(n)
        if isinstance(result, torch.Tensor) and n.op != "placeholder":
            self.tensors[n.name] = result
        return result
