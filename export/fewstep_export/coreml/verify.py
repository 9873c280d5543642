"""No package is called right that does not compute, read back from disk, what ONNX Runtime computes of its FP32 graph."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep.network import Feeds
from fewstep_export.coreml.evaluate import Evaluator, Mode
from fewstep_export.coreml.lint import require_clean
from fewstep_export.coreml.package import read_package
from fewstep_export.session import runner

FP32_TOLERANCE = 1e-5
"""Relative to the largest output. Tight: a GELU by tanh in place of the exact one differs by 1e-4, a wrong epsilon by less."""

FP16_TOLERANCE = 2e-2
"""As for every FP16 graph of fewstep."""


def verify_package(
    path: Path, graph: onnx.ModelProto, cases: Sequence[Feeds], mode: Mode = "exact"
) -> Mapping[str, Verification]:
    """Reads a package back, lints it, evaluates it and compares it with ONNX Runtime.

    Args:
        path: the folder NAME.mlpackage.
        graph: the FP32 graph that the package was made of.
        cases: inputs with the package's batch.
        mode: "exact" for FP32 packages, "fp16" for those with FP16 values.

    Returns:
        By output, the largest difference.

    Raises:
        FewstepError: the package is damaged, breaks a limit of Core ML, or computes something else.
    """
    require_clean(read_package(path), path.name)
    evaluate, reference = Evaluator(path, mode), runner(graph)
    tolerance = FP32_TOLERANCE if mode == "exact" else FP16_TOLERANCE
    pairs = [(evaluate(feeds), reference(feeds)) for feeds in cases]
    verification = {}
    for name in (output.name for output in graph.graph.output):
        scale = max(float(np.abs(right[name]).max()) for _, right in pairs)
        error = max(_error(found[name], right[name]) for found, right in pairs)
        if not error <= tolerance * scale:
            raise FewstepError(
                f"expected {name} within {tolerance:.0e} of ONNX Runtime, found {error / scale:.1e}, in {path}; "
                "export the bundle again"
            )
        verification[name] = Verification(error, scale, tolerance * scale)
    return verification


def _error(found: np.ndarray, right: np.ndarray) -> float:
    """The largest difference; infinity if a value is not finite."""
    return float(np.abs(found - right).max()) if np.isfinite(found).all() else float("inf")
