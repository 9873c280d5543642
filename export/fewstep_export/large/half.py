"""FP16 graphs of FP32 graphs on disk; no torch, and never more than one weight in memory but in an evaluation."""

from pathlib import Path

import onnx
import onnx_ir as ir

from fewstep_export.large.cases import graph_cases
from fewstep_export.large.check import check_graph
from fewstep_export.large.peaks import require_fp16_range
from fewstep_export.large.writer import save
from fewstep_export.passes.emulate_fp16 import EmulateFp16
from fewstep_export.passes.fp16 import ToFp16


def write_half(graph: Path, cases: Path, output: Path) -> None:
    """Writes the FP16 graph of an FP32 graph under the same name.

    Args:
        graph: the FP32 graph.
        cases: folder of its inputs, on which the activations must fit FP16.
        output: folder for the FP16 graph.

    Raises:
        FewstepError: a weight or an activation does not fit FP16.
    """
    half = ToFp16()(ir.load(graph)).model
    save(half, output / graph.name)
    feeds = [case.feeds for case in graph_cases(cases, graph)]
    require_fp16_range(graph, onnx.load(str(output / graph.name), load_external_data=False), feeds, output)


def check_half(graph: Path, cases: Path, tolerance: float, output: Path) -> None:
    """Compares what a device with FP16 would compute with what torch gave: ONNX Runtime on x86 would round nothing.

    Raises:
        FewstepError: see `check_graph`.
    """
    emulated = output / graph.name
    save(EmulateFp16()(ir.load(graph)).model, emulated)
    check_graph(emulated, cases, tolerance, output)
    for file in output.glob(f"{graph.name}*"):
        file.unlink()
