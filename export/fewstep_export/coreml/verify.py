"""No package is called right that does not compute, read back from disk, what ONNX Runtime computes of its FP32 graph."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep.network import Feeds, Run
from fewstep_export.components import Array
from fewstep_export.coreml.evaluate import Evaluator, Mode, by_rows
from fewstep_export.coreml.lint import require_clean
from fewstep_export.coreml.package import read_package
from fewstep_export.session import runner

FP32_TOLERANCE = 1e-5
"""Relative to the largest output. Tight: a GELU by tanh in place of the exact one differs by 1e-4, a wrong epsilon by less."""

FP16_TOLERANCE = 2e-2
"""As for every FP16 graph of fewstep."""

_ALL = np.array(True)


def verify_package(
    path: Path,
    graph: onnx.ModelProto | Path,
    cases: Sequence[Feeds],
    mode: Mode = "exact",
    tolerance: float | None = None,
    where: Sequence[Feeds] = (),
) -> Mapping[str, Verification]:
    """Reads a package back, lints it, evaluates it and compares it with ONNX Runtime.

    Args:
        path: the folder NAME.mlpackage.
        graph: the FP32 graph that the package was made of, or its file.
        cases: inputs with the package's batch.
        mode: "exact" for FP32 packages, "fp16" for those with FP16 values.
        tolerance: relative to the largest output; None takes that of the mode.
        where: for each case, masks by output of what counts; none where all does.

    Returns:
        By output, the largest difference.

    Raises:
        FewstepError: the package is damaged, breaks a limit of Core ML, or computes something else.
    """
    require_clean(read_package(path), path.name)
    evaluate, reference = Evaluator(path, mode), runner(graph)
    if tolerance is None:
        tolerance = FP32_TOLERANCE if mode == "exact" else FP16_TOLERANCE
    found, right = [evaluate(feeds) for feeds in cases], [reference(feeds) for feeds in cases]
    return compare(found, right, where, tolerance, path)


def compare(
    found: Sequence[Feeds], right: Sequence[Feeds], where: Sequence[Feeds], tolerance: float, path: Path
) -> Mapping[str, Verification]:
    """The largest difference by output between what a package gave and what it should, case by case.

    Raises:
        FewstepError: one is beyond the tolerance, which is relative to the largest output.
    """
    verification = {}
    for name in right[0]:
        scale = max(float(np.abs(outputs[name]).max()) for outputs in right)
        masks = [mask.get(name, _ALL) for mask in where] or [_ALL] * len(right)
        triples = zip(found, right, masks, strict=True)
        error = max(_error(ours[name], theirs[name], mask) for ours, theirs, mask in triples)
        if not error <= tolerance * scale:
            raise FewstepError(
                f"expected {name} within {tolerance:.0e} of ONNX Runtime, found {error / scale:.1e}, in {path}; "
                "export the bundle again"
            )
        verification[name] = Verification(error, scale, tolerance * scale)
    return verification


def worst(found: Mapping[str, Verification]) -> Verification:
    """The output that is furthest from right."""
    return max(found.values(), key=lambda check: check.max_abs_error / check.output_scale)


def _error(found: Array, right: Array, mask: Array) -> float:
    """The largest difference where the mask is; infinity if a value is not finite, wherever it is."""
    return float((np.abs(found - right) * mask).max()) if np.isfinite(found).all() else float("inf")


def checked_run(path: Path, precision: str) -> Run:
    """A saved package as a function of any number of rows, for `fewstep verify`.

    Args:
        path: the folder NAME.mlpackage.
        precision: of the variant; all but "fp32" are evaluated with the rounding of FP16.

    Raises:
        FewstepError: the package is damaged, or breaks a limit of Core ML.
    """
    require_clean(read_package(path), path.name)
    return by_rows(Evaluator(path, "exact" if precision == "fp32" else "fp16"))
