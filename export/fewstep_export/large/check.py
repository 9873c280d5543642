"""A graph on disk against what torch gave; it runs in a process of its own, which needs no torch."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep.network import Feeds
from fewstep.records import to_json
from fewstep_export.fixed_inputs import Case
from fewstep_export.large.cases import graph_cases
from fewstep_export.large.session import run_graph
from fewstep_export.parity import max_abs_error

VERIFICATION = "verification.json"


def check_graph(graph: Path, cases: Path, tolerance: float, output: Path) -> None:
    """Writes how far a graph is from torch, by the worst of its outputs.

    Args:
        graph: the .onnx file, named like its component.
        cases: folder of what torch gave.
        tolerance: relative to the largest value of an output.
        output: folder for the result.

    Raises:
        FewstepError: an output differs by more, or torch's own output is zero or not finite.
    """
    expected = graph_cases(cases, graph)
    found = run_graph(graph, [case.feeds for case in expected])
    outputs = [_check(graph, expected, found, name, tolerance) for name in expected[0].expected]
    worst = max(outputs, key=lambda verification: verification.max_abs_error / verification.output_scale)
    (output / VERIFICATION).write_text(json.dumps(to_json(worst)), encoding="utf-8")


def load_verification(folder: Path) -> Verification:
    """What `check_graph` wrote."""
    return Verification(**json.loads((folder / VERIFICATION).read_text(encoding="utf-8")))


def _check(
    graph: Path, cases: Sequence[Case], found: Sequence[Feeds], output: str, tolerance: float
) -> Verification:
    scale = max(float(np.abs(case.expected[output]).max()) for case in cases)
    error = max(
        max_abs_error(values[output], case, output) for values, case in zip(found, cases, strict=True)
    )
    if not (0 < scale < np.inf and error <= tolerance * scale):
        raise FewstepError(
            f"expected '{output}' of {graph.stem} within {tolerance:.0e} of torch, found a difference of {error:.2g} at a largest "
            f"value of {scale:.2g}; report the model's configuration"
        )
    return Verification(error, scale, tolerance * scale)
