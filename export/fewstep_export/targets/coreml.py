"""The target Core ML: .mlpackage folders, each judged by reading it back from disk."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx

from fewstep.engines.coreml import split_rows
from fewstep.manifest import Variant, Verification
from fewstep.network import Feeds
from fewstep_export.config import FLOATS, MinimumTarget, Precision
from fewstep_export.coreml.compress import SCHEMES, compress, palettize
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator, Mode, by_rows
from fewstep_export.coreml.mixed_bits import choose
from fewstep_export.coreml.trajectories import Inputs
from fewstep_export.coreml.verify import FP16_TOLERANCE, FP32_TOLERANCE, verify_package
from fewstep_export.fixed_inputs import Case, Cases
from fewstep_export.onnx_export import ExportedComponent
from fewstep_export.picture_loop import MINIMUM_PSNR, MINIMUM_PSNR_FP32
from fewstep_export.signature import component_record
from fewstep_export.targets.ort import Begin, Build, to_fp16


@dataclass(frozen=True)
class _Bounds:
    """How a precision is evaluated and what it may cost."""

    mode: Mode
    tolerance: float
    minimum_psnr: float


def build(
    graphs: Sequence[ExportedComponent],
    precisions: Sequence[Precision],
    target: MinimumTarget,
    cases: Cases,
    inputs: Inputs,
    root: Path,
    begin: Begin,
) -> list[Build]:
    """Writes packages under `root`/coreml and returns the variants, named "coreml-" and the precision, in the given order.

    FP32 is made and held to its tight bound whether it is asked for or not, since it alone shows small mistakes: it goes first,
    then FP16, then what is made of FP16. Palettes are fitted to `inputs`.

    Raises:
        FewstepError: a package does not compute what its graph does, or cannot be made.
    """
    packages = _Packages(graphs, target, cases, cache(inputs), root)
    builds = {}
    for precision in sorted(precisions, key=_order):
        begin(f"converting to Core ML {precision} and verifying")
        builds[precision] = packages.build(precision)
    packages.remove_unasked(precisions)
    return [builds[precision] for precision in precisions]


class _Packages:
    """The folders `root`/coreml/PRECISION/COMPONENT.mlpackage."""

    def __init__(
        self,
        graphs: Sequence[ExportedComponent],
        target: MinimumTarget,
        cases: Cases,
        inputs: Inputs,
        root: Path,
    ) -> None:
        self._graphs, self._config, self._root = graphs, ConvertConfig(target), root
        self._inputs = inputs
        self._rows = {
            name: [r for case in some for r in split_rows(case.feeds)] for name, some in cases.items()
        }
        self._where = {name: [r for case in some for r in _masks(case)] for name, some in cases.items()}
        self._done: dict[Precision, Build] = {}

    def build(self, precision: Precision) -> Build:
        """The variant of a precision, made on first use together with what it is made of."""
        if precision not in self._done:
            for earlier in FLOATS[: _order(precision)]:
                self.build(earlier)
            self._done[precision] = self._build(precision)
        return self._done[precision]

    def remove_unasked(self, precisions: Sequence[Precision]) -> None:
        """Removes the packages that were a step on the way alone."""
        for precision in set(self._done) - set(precisions):
            shutil.rmtree(self._root / "coreml" / precision)

    def _build(self, precision: Precision) -> Build:
        bounds, components, verification, runs = _bounds(precision), {}, {}, {}
        (self._root / "coreml" / precision).mkdir(parents=True)
        for graph in self._graphs:
            name, path = graph.component.name, self._path(precision, graph)
            self._write(precision, graph, path)
            found = verify_package(
                path, graph.model, self._rows[name], bounds.mode, bounds.tolerance, self._where[name]
            )
            verification[name] = _worst(found)
            components[name] = component_record(graph.model, path.relative_to(self._root).as_posix())
            runs[name] = by_rows(Evaluator(path, bounds.mode))
        variant = Variant(f"coreml-{precision}", "coreml", precision, "mlpackage", components, verification)
        return Build(variant, runs, bounds.minimum_psnr)

    def _write(self, precision: Precision, graph: ExportedComponent, path: Path) -> None:
        if precision in FLOATS:
            convert(_in_precision(graph.model, precision), path, self._config)
            return
        half = self._path("fp16", graph)
        choices, budget = SCHEMES[precision].palettes
        if not choices:
            compress(half, path, precision)
            return
        grouped = self._config.target != "iOS17"
        palettize(half, path, choose(half, self._inputs()[graph.component.name], grouped, choices, budget))

    def _path(self, precision: Precision, graph: ExportedComponent) -> Path:
        return self._root / "coreml" / precision / f"{graph.component.name}.mlpackage"


def _masks(case: Case) -> list[Feeds]:
    """The masks of a case by row."""
    count = len(next(iter(case.feeds.values())))
    return split_rows(case.where) if case.where else [{}] * count


def _in_precision(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    return model if precision == "fp32" else to_fp16(model)


def _bounds(precision: Precision) -> _Bounds:
    if precision == "fp32":
        return _Bounds("exact", FP32_TOLERANCE, MINIMUM_PSNR_FP32)
    if precision == "fp16":
        return _Bounds("fp16", FP16_TOLERANCE, MINIMUM_PSNR)
    return _Bounds("fp16", SCHEMES[precision].tolerance, SCHEMES[precision].minimum_psnr)


def _order(precision: Precision) -> int:
    """How many precisions come before it: FP32, FP16, then all others."""
    return FLOATS.index(precision) if precision in FLOATS else len(FLOATS)


def _worst(found: Mapping[str, Verification]) -> Verification:
    return max(found.values(), key=lambda check: check.max_abs_error / check.output_scale)
