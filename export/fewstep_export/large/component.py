"""What is done with one component of a diffusers folder, each function in a process of its own."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fewstep_export.bundle_manifest import with_options
from fewstep_export.checkpoints.diffusers import load_diffusers
from fewstep_export.checkpoints.lean import LeanFolder
from fewstep_export.checkpoints.lean_lora import add_loras
from fewstep_export.components import Component, Feeds, Generator
from fewstep_export.config import ExportConfig
from fewstep_export.fixed_inputs import case_of, component_feeds
from fewstep_export.large.cases import load_cases, save_cases
from fewstep_export.large.trace import LargeNetwork, trace
from fewstep_export.large.weights import Weights, require
from fewstep_export.large.writer import write


@dataclass(frozen=True)
class Source:
    """A diffusers folder and what is asked of it; it travels to child processes, so it holds paths and options, not tensors.

    Attributes:
        config: of the export.
        digest: SHA-256 of the checkpoint, once it is known.
    """

    config: ExportConfig
    digest: str = ""

    def open(self) -> "Lean":
        """The model without values.

        Raises:
            FewstepError: see `load_diffusers` and `add_loras`.
        """
        folder = LeanFolder.open_lean(Path(self.config.source), self.digest)
        if self.config.loras:
            folder = add_loras(folder, self.config.loras)
        return Lean(folder, with_options(load_diffusers(folder, self.config.size), self.config))


@dataclass(frozen=True)
class Lean:
    """A model whose parameters have shapes and no values, and where these are."""

    folder: LeanFolder
    generator: Generator

    def component(self, name: str) -> Component:
        """A component without values."""
        component = self.generator.component(name)
        assert isinstance(component, Component)  # as all that are read from diffusers
        return component

    def weights(self, name: str) -> Weights:
        """The weights of a component by the names of its parameters."""
        return self.folder.weights(self.component(name).module)


def evaluate(source: Source, name: str, encoded: Path | None, output: Path) -> None:
    """Evaluates torch on the first and the last of the fixed inputs, and writes them with the outputs.

    Args:
        source: the model.
        name: of the component.
        encoded: folder of the cases of the text encoder.
        output: folder for the cases.

    Raises:
        FewstepError: a weight is missing, superfluous or of another shape.
    """
    lean = source.open()
    component = lean.component(name)
    load_weights(component.module, lean.weights(name), name)
    texts = load_cases(encoded) if encoded else ()
    feeds = component_feeds(lean.generator, lean.generator.sampling.table(), name, texts)
    save_cases(output, [case_of(lean.generator, component, feed) for feed in (feeds[0], feeds[-1])])


def load_weights(module: nn.Module, weights: Weights, name: str) -> None:
    """Gives a module its weights, the only copy of them.

    Raises:
        FewstepError: a weight is missing, superfluous or of another shape.
    """
    state = module.state_dict()
    require(weights, {name: tuple(value.shape) for name, value in state.items()}, f"the weights of {name}")
    module.load_state_dict({name: torch.from_numpy(weights.read(name)) for name in state}, assign=True)


def write_graph(source: Source, name: str, example: Path, output: Path) -> None:
    """Writes NAME.onnx and its weights.

    Args:
        source: the model.
        name: of the component.
        example: folder of its cases, of which the first has a batch of 2.
        output: folder for the graph.

    Raises:
        FewstepError: torch cannot trace the module, or a weight is missing, superfluous or of another shape.
    """
    lean, feeds = source.open(), load_cases(example)[0].feeds
    network = large_network(lean.component(name), feeds)
    write(network, trace(network), lean.weights(name), output / f"{name}.onnx")


def large_network(component: Component, feeds: Feeds) -> LargeNetwork:
    """A component as `fewstep_export.large.trace` takes it, with the shapes of these inputs."""
    inputs = {key: (feeds[key].shape, torch.from_numpy(feeds[key]).dtype) for key in component.inputs}
    return LargeNetwork(component.name, component.module, inputs, component.outputs)
