"""Core ML packages of graphs on disk; weights are mapped, and stay in memory once at most."""

import json
from collections.abc import Sequence
from pathlib import Path

import onnx

from fewstep.network import Feeds
from fewstep.records import to_json
from fewstep_export.coreml.convert import convert
from fewstep_export.coreml.evaluate import Evaluator, Mode
from fewstep_export.coreml.lint import require_clean
from fewstep_export.coreml.package import read_package
from fewstep_export.coreml.verify import compare, worst
from fewstep_export.large.cases import load_cases, rows_of
from fewstep_export.large.check import VERIFICATION
from fewstep_export.large.session import run_graph
from fewstep_export.package_config import ConvertConfig


def write_package(graph: Path, config: ConvertConfig, output: Path) -> None:
    """Writes NAME.mlpackage of the graph NAME.onnx.

    Args:
        graph: in FP32, or in FP16 with FP32 islands.
        config: of the package.
        output: folder for it.

    Raises:
        FewstepError: the graph has nodes that cannot be lowered.
    """
    model = onnx.load(str(graph), load_external_data=False)
    convert(model, output / f"{graph.stem}.mlpackage", config, graph.parent)


def check_package(
    packages: Path, graph: Path, cases: Path, mode: Mode, tolerance: float, output: Path
) -> None:
    """Writes how far a package, read back, is from ONNX Runtime, by the worst of its outputs.

    Args:
        packages: the folder of the package, which is named like the graph.
        graph: the FP32 graph.
        cases: folder of the component's inputs.
        mode: how the package is evaluated.
        tolerance: relative to the largest value of an output.
        output: folder for the result.

    Raises:
        FewstepError: the package is damaged, breaks a limit of Core ML, or computes something else.
    """
    path = packages / f"{graph.stem}.mlpackage"
    rows = [row for case in load_cases(cases) for row in rows_of(case)]
    right = run_graph(graph, [row.feeds for row in rows])  # its session is gone before the package is read
    found = _evaluated(path, mode, [row.feeds for row in rows])
    verification = compare(found, right, [row.where for row in rows], tolerance, path)
    (output / VERIFICATION).write_text(json.dumps(to_json(worst(verification))), encoding="utf-8")


def _evaluated(path: Path, mode: Mode, feeds: Sequence[Feeds]) -> list[Feeds]:
    require_clean(read_package(path), path.name)
    evaluate = Evaluator(path, mode)
    return [evaluate(feed) for feed in feeds]
