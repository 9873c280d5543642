"""No graph leaves the export that does not compute what torch computes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep.network import Run
from fewstep_export.components import Array, Feeds
from fewstep_export.first_difference import Difference, first_difference
from fewstep_export.fixed_inputs import Case
from fewstep_export.onnx_export import ExportedComponent

FP32_TOLERANCE = 1e-4
"""Relative to the largest output of torch: FP32 sums in another order differ by some 1e-6 in networks of this size."""

FP16_TOLERANCE = 2e-2
"""Per evaluation. FP16 rounds each tensor by 5e-4; some hundred of them in a row end near 1e-3. What it costs is judged on pictures."""


class ParityError(FewstepError):
    """A build that differs from torch by more than its tolerance."""

    def __init__(
        self, component: str, build: str, error: float, tolerance: float, difference: Difference | None
    ) -> None:
        where = "no single tensor stands out"
        if difference is not None:
            where = (
                f"the first tensor that differs is '{difference.tensor}' of the {difference.operator} node "
                f"'{difference.node}' (relative error {difference.relative_error:.1e})"
            )
        super().__init__(
            f"expected {component} in {build} within {tolerance:.0e} of torch, found {error:.1e}; {where}"
        )
        self.component, self.difference = component, difference


@dataclass(frozen=True)
class Check:
    """What to compare: a build of a component by name, how to run it, its graph for locating errors, and the tolerance."""

    exported: ExportedComponent
    build: str
    run: Run
    graph: onnx.ModelProto
    tolerance: float


def verify(check: Check, cases: Sequence[Case]) -> Verification:
    """Compares a build with torch on fixed inputs.

    Raises:
        ParityError: the largest error is above the tolerance times the largest output of torch.
        FewstepError: torch's own output is zero or not finite.
    """
    found = [check.run(case.feeds) for case in cases]
    outputs = [_verify_output(check, cases, found, name) for name in check.exported.component.outputs]
    return max(outputs, key=lambda verification: verification.max_abs_error / verification.output_scale)


def _verify_output(check: Check, cases: Sequence[Case], found: Sequence[Feeds], output: str) -> Verification:
    component = check.exported.component.name
    scale = max(float(np.abs(case.expected[output]).max()) for case in cases)
    if not 0 < scale < np.inf:
        raise FewstepError(
            f"expected {component} to give finite values other than 0 in torch, found a largest value of {scale}; "
            "train the checkpoint first"
        )
    errors = [max_abs_error(values[output], case, output) for values, case in zip(found, cases, strict=True)]
    worst = int(np.argmax(errors))
    if not errors[worst] <= check.tolerance * scale:
        difference = first_difference(check.graph, check.exported, cases[worst].feeds, check.tolerance)
        raise ParityError(component, check.build, errors[worst] / scale, check.tolerance, difference)
    return Verification(errors[worst], scale, check.tolerance * scale)


def max_abs_error(found: Array, case: Case, output: str) -> float:
    """The largest error where it counts; infinity if a value is not finite, wherever it is."""
    error = np.abs(found - case.expected[output])
    counted = error * case.where.get(output, np.array(True))
    return float(counted.max()) if np.isfinite(error).all() else float("inf")
