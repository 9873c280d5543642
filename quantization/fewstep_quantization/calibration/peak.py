"""The overflow probe: how far every tensor reaches on the way of the shipped sampler, and which of them FP16 cannot hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from fewstep.errors import FewstepError

LARGEST = 65504.0
"""The largest finite FP16 number."""
HEADROOM = 2.0
"""Other prompts may reach further than those of the calibration."""


@dataclass
class Peak:
    """The largest absolute value that came.

    Args:
        name: of the tensor, for errors.
    """

    name: str
    value: float = 0.0

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Looks at the values.

        Raises:
            FewstepError: one of them is NaN or infinite in FP32 already.
        """
        if not np.isfinite(values).all():
            raise FewstepError(
                f"expected finite activations, found NaN or infinity, in tensor '{self.name}' during calibration; "
                "take other prompts, or a smaller guidance scale"
            )
        self.value = max(self.value, float(np.abs(values).max(initial=0.0)))


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """The names of all FP32 tensors that nodes make, as far as their type can be inferred."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    made = {name for node in graph.node for name in node.output}
    values = [*graph.value_info, *graph.output]
    float32 = onnx.TensorProto.FLOAT
    return [v.name for v in values if v.name in made and v.type.tensor_type.elem_type == float32]


def overflowing(peaks: Mapping[str, Peak], headroom: float = HEADROOM) -> dict[str, float]:
    """The tensors that FP16 cannot hold, with the largest value of each."""
    return {name: peak.value for name, peak in peaks.items() if peak.value * headroom > LARGEST}
