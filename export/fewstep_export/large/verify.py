"""A written graph against torch, each in a process of its own, so that the weights are in memory once at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep_export.large.child import in_child
from fewstep_export.large.session import run_graph
from fewstep_export.large.trace import LargeNetwork
from fewstep_export.large.weights import Weights, require
from fewstep_export.parity import FP32_TOLERANCE

Array = npt.NDArray[np.generic]
Feeds = Mapping[str, Array]


class Source(Protocol):
    """Where a network comes from; it travels to child processes, so it holds paths and options, not tensors."""

    def network(self) -> LargeNetwork:
        """The network, its parameters on the meta device, its buffers real."""
        ...

    def weights(self) -> Weights:
        """Its weights."""
        ...


@dataclass(frozen=True)
class Compared:
    """The comparison, and the peak memory (bytes) and time (seconds) of both evaluations."""

    verification: Verification
    peak_bytes: Mapping[str, int]
    seconds: Mapping[str, float]


def compare(source: Source, graph: Path, feeds: Feeds, what: str) -> Compared:
    """Evaluates torch and ONNX Runtime on the same inputs.

    Raises:
        FewstepError: they differ by more than FP32_TOLERANCE of the output's scale, or the output is not finite.
    """
    reference = in_child(f"evaluating {what} in torch", evaluate_torch, source, feeds)
    found = in_child(f"evaluating {what} in ONNX Runtime", evaluate_onnxruntime, graph, feeds)
    scale = float(np.abs(reference.value).max())
    error = float(np.abs(found.value - reference.value).max())
    if not error <= FP32_TOLERANCE * scale:
        raise FewstepError(
            f"expected {what} within {FP32_TOLERANCE:g} of torch, found a difference of {error:g} at an output scale of {scale:g}; "
            "report the model's configuration"
        )
    both = {"torch": reference, "onnxruntime": found}
    return Compared(
        Verification(error, scale, FP32_TOLERANCE),
        {name: done.peak_bytes for name, done in both.items()},
        {name: done.seconds for name, done in both.items()},
    )


def evaluate_torch(source: Source, feeds: Feeds) -> Array:
    """The output of the torch module with its weights loaded, the only copy of them."""
    network, weights = source.network(), source.weights()
    require(weights, network.weight_shapes(), f"the weights of {network.name}")
    read = {name: weights.read(name.removeprefix(network.prefix)) for name in network.module.state_dict()}
    network.module.load_state_dict(
        {name: torch.from_numpy(value) for name, value in read.items()}, assign=True
    )
    with torch.inference_mode():
        output: torch.Tensor = network.module(*(torch.from_numpy(feeds[name]) for name in network.inputs))
    return output.numpy()


def evaluate_onnxruntime(graph: Path, feeds: Feeds) -> Array:
    """The graph's only output; see `run_graph`."""
    (output,) = run_graph(graph, [feeds])[0].values()
    return output
