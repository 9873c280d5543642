"""How close the activations of a graph come to the largest FP16 number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from fewstep.errors import FewstepError
from fewstep_export.components import Feeds
from fewstep_export.passes.fp16 import FP16_MAX
from fewstep_export.session import tensors

MASKED = -1e30
"""Below stand scores that a mask has taken out; FP16 has its own lowest number for them."""

HEADROOM = 4.0
"""Other prompts and seeds than those of the check may need so much more."""


@dataclass(frozen=True)
class Peak:
    """The largest absolute value of a tensor, and the node that makes it."""

    tensor: str
    node: str
    value: float


def require_fp16_range(
    fp32: onnx.ModelProto, fp16: onnx.ModelProto, inputs: Sequence[Feeds], component: str
) -> Peak:
    """The largest of the activations that the FP16 graph keeps in FP16, measured in the FP32 graph.

    Raises:
        FewstepError: one is above a fourth of the largest FP16 number; the message names the first in order of execution.
    """
    half = half_tensors(fp16)
    return require_headroom([peak for peak in _peaks(fp32, inputs) if peak.tensor in half], component)


def half_tensors(fp16: onnx.ModelProto) -> set[str]:
    """The names of the tensors that a graph keeps in FP16."""
    half = {v.name for v in fp16.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}
    return half | {value.name for value in fp16.graph.output}  # rounded to FP16 before their last Cast


def require_headroom(peaks: Sequence[Peak], component: str) -> Peak:
    """The largest of the peaks, given in order of execution.

    Raises:
        FewstepError: see `require_fp16_range`.
    """
    for peak in peaks:
        if not peak.value * HEADROOM <= FP16_MAX:
            raise FewstepError(
                f"expected activations of at most {FP16_MAX / HEADROOM:.0f} for FP16, found {peak.value:.3g}, "
                f"in tensor '{peak.tensor}' of node '{peak.node}' of {component}; export with --precision fp32 only"
            )
    return max(peaks, key=lambda peak: peak.value)


def _peaks(model: onnx.ModelProto, inputs: Sequence[Feeds]) -> list[Peak]:
    """The peak of every floating-point tensor over all inputs, in order of execution."""
    largest: dict[str, float] = {}
    for feeds in inputs:
        for name, value in tensors(model, feeds).items():
            if np.issubdtype(value.dtype, np.floating):
                counted = value[value > MASKED]
                largest[name] = max(largest.get(name, 0.0), float(np.abs(counted).max(initial=0.0)))
    makers = {name: node.name for node in model.graph.node for name in node.output}
    return [Peak(name, makers[name], value) for name, value in largest.items()]
