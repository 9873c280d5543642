"""A network traced without its weights: its parameters are shapes and take no memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import nn

from fewstep.errors import FewstepError
from fewstep_export.onnx_export import quiet, simplify, translate
from fewstep_export.passes.fold_constants import FoldConstants

SMALL = 4096  # numbers in a constant that is worth folding; weights are not looked at


@dataclass(frozen=True)
class LargeNetwork:
    """A network to trace.

    Attributes:
        name: the component's name.
        module: its parameters on the meta device, in evaluation mode; its parameters' names are those of the weight files after `prefix`.
        inputs: shape, with a batch of 2, and dtype by name in the order of `forward`.
        outputs: names of the outputs in order.
        prefix: what the names of the weight files lack, like "unet.".
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
    outputs: tuple[str, ...]
    prefix: str = ""

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of all parameters and persistent buffers by their names in the weight files."""
        return {
            name.removeprefix(self.prefix): tuple(v.shape) for name, v in self.module.state_dict().items()
        }


@dataclass(frozen=True)
class Trace:
    """A simplified graph whose weights have no values yet.

    Attributes:
        model: the graph.
        weights: names of its initializers that wait for values; they are the parameters' names.
    """

    model: ir.Model
    weights: tuple[str, ...]


def trace(network: LargeNetwork) -> Trace:
    """The graph of a network.

    Raises:
        FewstepError: torch cannot trace the module, or a buffer is on the meta device.
    """
    give_shapes(network.module, network.name)
    example = {name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in network.inputs.items()}
    program = translate(network.name, network.module, example, network.outputs)
    hidden = _hide_weights(network, program.model)
    with quiet():
        return Trace(simplify(program.model, FoldConstants(SMALL)).model, hidden)


def give_shapes(module: nn.Module, what: str) -> None:
    """Puts one number, repeated without memory, in the place of every parameter on the meta device.

    Modules may ask for the device of what they compute with, and meta is none on which torch can do everything.

    Raises:
        FewstepError: a buffer is on the meta device.
    """
    for name, buffer in module.named_buffers():
        if buffer.is_meta:
            raise FewstepError(
                f"expected buffers with values, found '{name}' on the meta device, in {what}; "
                "put its parameters alone there, as accelerate's init_empty_weights does"
            )
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.is_meta:
                empty = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
                setattr(owner, name, nn.Parameter(empty, requires_grad=False))


def _hide_weights(network: LargeNetwork, model: ir.Model) -> tuple[str, ...]:
    """Takes the weights' empty values away, so that no pass asks for them."""
    parameters = set(network.module.state_dict())
    hidden = []
    for name, value in model.graph.initializers.items():
        if name in parameters:
            value.const_value = None
            hidden.append(name)
    return tuple(hidden)
