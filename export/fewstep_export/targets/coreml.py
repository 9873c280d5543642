"""The target Core ML: .mlpackage folders, each judged by reading it back from disk."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import onnx

from fewstep.engines.coreml import split_rows
from fewstep.loop_form import TEXT_ENCODER
from fewstep.manifest import Component, Variant
from fewstep.network import Feeds
from fewstep_export.config import FLOATS, Precision
from fewstep_export.coreml.compress import SCHEMES, compress, index_bits, palettize
from fewstep_export.coreml.convert import convert
from fewstep_export.coreml.evaluate import Evaluator, Mode, by_rows
from fewstep_export.coreml.mixed_bits import Fitted, mixed
from fewstep_export.coreml.package import read_package
from fewstep_export.coreml.picture_gradients import PictureErrors
from fewstep_export.coreml.ranges import eight_bit_ranges
from fewstep_export.coreml.trajectories import Inputs, spread
from fewstep_export.coreml.tuning import Tuned, tune
from fewstep_export.coreml.verify import FP16_TOLERANCE, FP32_TOLERANCE, verify_package, worst
from fewstep_export.fixed_inputs import Case, Cases
from fewstep_export.onnx_export import ExportedComponent
from fewstep_export.package_config import ConvertConfig
from fewstep_export.picture_loop import MINIMUM_PSNR_FP32
from fewstep_export.signature import component_record
from fewstep_export.targets.ort import Begin, Build, to_fp16
from fewstep_export.tensorrt.qdq import quantized

_RANGED = 24
"""Of the inputs on the way to pictures, so many give the ranges of eight-bit activations."""
_FLOAT_ACTIVATIONS = frozenset({TEXT_ENCODER})
"""Components that int8 gives weights of eight bits alone: this one runs once a picture, and is sensitive."""
_MINIMUM_PSNR_FP16 = 30.0
"""Of pictures, in dB. A student of few steps turns the rounding of FP16 into 34 dB for some prompts and into 60 for others."""


@dataclass(frozen=True)
class _Bounds:
    """How a precision is evaluated and what it may cost."""

    mode: Mode
    tolerance: float
    minimum_psnr: float


def build(
    graphs: Sequence[ExportedComponent],
    precisions: Sequence[Precision],
    config: ConvertConfig,
    cases: Cases,
    inputs: Inputs,
    picture_errors: PictureErrors,
    root: Path,
    begin: Begin,
) -> list[Build]:
    """Writes packages under `root`/coreml and returns the variants, named "coreml-" and the precision, in the given order.

    FP32 is made and held to its tight bound whether it is asked for or not, since it alone shows small mistakes: it goes first,
    then FP16, then what is made of FP16. Palettes and ranges of activations are fitted to `inputs`; mixed bits are chosen by `picture_errors`.

    Raises:
        FewstepError: a package does not compute what its graph does, or cannot be made.
    """
    packages = _Packages(graphs, config, cases, cache(inputs), picture_errors, root)
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
        config: ConvertConfig,
        cases: Cases,
        inputs: Inputs,
        picture_errors: PictureErrors,
        root: Path,
    ) -> None:
        self._graphs, self._config, self._root = graphs, config, root
        self._inputs, self._picture_errors = inputs, picture_errors
        self._rows = {
            name: [r for case in some for r in split_rows(case.feeds)] for name, some in cases.items()
        }
        self._where = {name: [r for case in some for r in _masks(case)] for name, some in cases.items()}
        self._done: dict[Precision, Build] = {}
        self._palettes: dict[str, Fitted] = {}
        self._mixed: dict[Precision, Mapping[str, Tuned]] = {}

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
            verification[name] = worst(found)
            components[name] = package_record(graph.model, path, self._root)
            runs[name] = by_rows(Evaluator(path, bounds.mode))
        variant = Variant(f"coreml-{precision}", "coreml", precision, "mlpackage", components, verification)
        return Build(variant, runs, bounds.minimum_psnr)

    def _write(self, precision: Precision, graph: ExportedComponent, path: Path) -> None:
        if precision == "fp32":
            convert(graph.model, path, replace(self._config, half_io=False))
            return
        if precision == "fp16":
            convert(to_fp16(graph.model), path, self._config)
            return
        half, name = self._path("fp16", graph), graph.component.name
        if precision == "int8" and name not in _FLOAT_ACTIVATIONS:
            convert(self._in_eight_bits(graph), path, self._config)
        elif SCHEMES[precision].palettes[0]:
            found = self._in_palettes(precision, name)
            palettize(half, path, found.weights, found.others)
        else:
            compress(half, path, precision)

    def _in_eight_bits(self, graph: ExportedComponent) -> onnx.ModelProto:
        """The FP16 graph with products of eight-bit weights and activations, where eight bits hold the activations."""
        inputs = self._inputs()[graph.component.name]
        ranges = eight_bit_ranges(graph.model, spread(inputs, _RANGED))
        return quantized(to_fp16(graph.model), ranges)

    def _in_palettes(self, precision: Precision, name: str) -> Tuned:
        """The weights of a component as a precision stores them."""
        choices, budget = SCHEMES[precision].palettes
        choices = index_bits(choices, self._config.target)
        if len(choices) == 1:
            return Tuned(self._fitted(name).in_bits(choices[0]), {})
        if precision not in self._mixed:
            self._mixed[precision] = self._mix(choices, budget)
        return self._mixed[precision][name]

    def _mix(self, choices: Sequence[int], budget: float) -> Mapping[str, Tuned]:
        """The weights of all components, with bits where pictures need them; those of the text encoder are tuned."""
        fitted = {graph.component.name: self._fitted(graph.component.name) for graph in self._graphs}
        packages = {graph.component.name: self._path("fp16", graph) for graph in self._graphs}
        changes = {name: network.changes(choices) for name, network in fitted.items()}
        chosen = mixed(fitted, self._picture_errors(packages, changes), choices, budget)
        return {
            name: tune(packages[name], some, fitted[name].words, self._inputs()[name], self._padded(name))
            if name == TEXT_ENCODER
            else Tuned(some, {})
            for name, some in chosen.items()
        }

    def _fitted(self, name: str) -> Fitted:
        """The palettes of a component."""
        if name not in self._palettes:
            half = self._root / "coreml" / "fp16" / f"{name}.mlpackage"
            grouped = self._config.target != "iOS17"
            self._palettes[name] = Fitted(half, self._inputs()[name], grouped, self._padded(name))
        return self._palettes[name]

    def _padded(self, name: str) -> bool:
        """Whether masks say which states of a component count."""
        return any(self._where[name])

    def _path(self, precision: Precision, graph: ExportedComponent) -> Path:
        return self._root / "coreml" / precision / f"{graph.component.name}.mlpackage"


def _masks(case: Case) -> list[Feeds]:
    """The masks of a case by row."""
    count = len(next(iter(case.feeds.values())))
    return split_rows(case.where) if case.where else [{}] * count


def package_record(model: onnx.ModelProto, path: Path, root: Path) -> Component:
    """The signature of the package as it lies on the disk: with the graph's free batch, which engines split, and the package's types."""
    record = component_record(model, path.relative_to(root).as_posix())
    package = read_package(path)
    declared = {**package.inputs, **{n: k for o in package.operations for n, k in o.outputs.items()}}
    specs = (
        tuple(
            replace(spec, dtype="float16") if declared[spec.name].dtype == "fp16" else spec for spec in specs
        )
        for specs in (record.inputs, record.outputs)
    )
    return Component(record.file, *specs)


def _bounds(precision: Precision) -> _Bounds:
    if precision == "fp32":
        return _Bounds("exact", FP32_TOLERANCE, MINIMUM_PSNR_FP32)
    if precision == "fp16":
        return _Bounds("fp16", FP16_TOLERANCE, _MINIMUM_PSNR_FP16)
    return _Bounds("fp16", SCHEMES[precision].tolerance, SCHEMES[precision].minimum_psnr)


def _order(precision: Precision) -> int:
    """How many precisions come before it: FP32, FP16, then all others."""
    return FLOATS.index(precision) if precision in FLOATS else len(FLOATS)
