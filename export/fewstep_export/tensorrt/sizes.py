"""Graphs of pictures of many sizes: the sides of their latents are free, where the network allows it.

ONNX Runtime and Core ML get graphs of one size, whose shapes are constants. TensorRT makes kernels for ranges of sizes (`fewstep.sizes`),
and needs graphs in which these are free: the same modules, traced again. A network with a table of positions, or with anything else that
was computed for one size, cannot have one.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from fewstep.errors import FewstepError
from fewstep.network import Feeds, Run
from fewstep.sizes import Size, SizeProfile, Sizes, size_text
from fewstep_export.components import Array
from fewstep_export.fixed_inputs import Case, Cases
from fewstep_export.onnx_export import ExportedComponent, check, export_component, root_cause
from fewstep_export.session import runner

LATENTS = "latents"
SIDES = {2: "height", 3: "width"}
"""Names of the free dimensions of latents (B, C, h, w)."""
_LARGEST_MULTIPLE = 16


@dataclass(frozen=True)
class SizedGraphs:
    """Graphs with free sides, on which inputs they are verified, and which sizes they take."""

    graphs: Sequence[ExportedComponent]
    cases: Cases
    sizes: Sizes


def free_sizes(
    graphs: Sequence[ExportedComponent], cases: Cases, profiles: tuple[SizeProfile, ...]
) -> SizedGraphs:
    """The graphs again with free sides; their cases are joined by the smallest and the largest size of every profile.

    Raises:
        FewstepError: no profile holds the size of the export, a size is no multiple of what the networks need, or one of them is for one
            size alone.
    """
    pixels, size = picture_of(cases)
    if not any(profile.holds(size) for profile in profiles):
        raise FewstepError(
            f"expected the size of the export, {size_text(size)}, in one of the profiles, found {', '.join(map(str, profiles))}; "
            "add a --profile, or choose another --size"
        )
    _require_multiples(profiles, pixels)
    freed = [free_sides(graph, cases[graph.component.name][0], pixels) for graph in graphs]
    sized = [graph for graph in freed if LATENTS in graph.component.inputs]
    multiple = pixels * max(
        side_multiple(graph.component.name, runner(graph.model), cases[graph.component.name][0])
        for graph in sized
    )
    _require_multiples(profiles, multiple)
    extremes = {extreme for profile in profiles for extreme in (profile.smallest, profile.largest)} - {size}
    more = {graph.component.name: _cases(graph, cases, extremes, pixels) for graph in sized}
    joined = {name: [*known, *more.get(name, ())] for name, known in cases.items()}
    return SizedGraphs(freed, joined, Sizes(multiple, profiles))


def picture_of(cases: Cases) -> tuple[int, Size]:
    """Pixels for a position of the latents, along a side, and the size of the export."""
    case = cases["decoder"][0]
    height, width = case.expected["image"].shape[2:]
    return int(height // case.feeds[LATENTS].shape[2]), (int(width), int(height))


def free_sides(exported: ExportedComponent, case: Case, pixels: int) -> ExportedComponent:
    """The graph of a component with free sides; one without latents stays as it is.

    Raises:
        FewstepError: the network is for one size.
    """
    component = exported.component
    if LATENTS not in component.inputs:
        return exported
    try:
        again = export_component(component, case.feeds, sized=LATENTS)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        # Of a module that computes with its sides as plain numbers.
        raise _one_size(component.name, case) from error
    latents = next(value for value in again.model.graph.input if value.name == LATENTS)
    dims = latents.type.tensor_type.shape.dim
    if not all(
        dims[i].dim_param.strip("0123456789") for i in SIDES
    ):  # the exporter writes "8" for what it found to be fixed
        raise _one_size(component.name, case)
    names = {dims[i].dim_param: name for i, name in SIDES.items()}
    outputs = {value.name for value in again.model.graph.output}
    model = _fixed(again.model, case, {LATENTS, *outputs})
    _rename(model, names)
    factor = pixels if component.name == "decoder" else 1
    for value in model.graph.output:
        for i, name in SIDES.items():
            value.type.tensor_type.shape.dim[i].dim_param = name if factor == 1 else f"{factor}*{name}"
    check(model)
    return replace(again, model=model)


def fixed_sides(exported: ExportedComponent, case: Case) -> ExportedComponent:
    """The graph with nothing free but the batch; one of somebody else's may have more, of which no profile tells."""
    return replace(exported, model=_fixed(exported.model, case, frozenset()))


def side_multiple(name: str, run: Run, case: Case) -> int:
    """What both sides of the latents must be multiples of: the smallest power of two at which the graph runs and keeps them.

    Raises:
        FewstepError: there is none: some networks are for one size and can be traced nevertheless.
    """
    (output, expected), *_ = case.expected.items()
    factor = expected.shape[2] // case.feeds[LATENTS].shape[2]
    multiple = 1
    while multiple <= _LARGEST_MULTIPLE:
        sides = 3 * multiple, 5 * multiple
        try:
            found = run(_resized(case.feeds, sides))[output].shape[2:]
        except Exception:  # noqa: BLE001 - ONNX Runtime's exceptions share no base class of their own
            found = ()
        if found == tuple(factor * side for side in sides):
            return multiple
        multiple *= 2
    raise _one_size(name, case)


def _one_size(name: str, case: Case) -> FewstepError:
    height, width = case.feeds[LATENTS].shape[2:]
    return FewstepError(
        f"expected a {name} for pictures of many sizes, found one that computes with latents of {height} x {width} alone (by a table of "
        "positions, say); leave out --profile, and export once for each size"
    )


def _require_multiples(profiles: Sequence[SizeProfile], multiple: int) -> None:
    for size in (size for profile in profiles for size in profile.sizes()):
        if any(side % multiple for side in size):
            raise FewstepError(
                f"expected sizes whose sides are multiples of {multiple}, found {size_text(size)}; correct --profile"
            )


def _cases(graph: ExportedComponent, cases: Cases, sizes: set[Size], pixels: int) -> list[Case]:
    """The first case of a component at other sizes."""
    component = graph.component
    made = []
    for width, height in sorted(sizes):
        feeds = _resized(cases[component.name][0].feeds, (height // pixels, width // pixels))
        try:
            made.append(Case(feeds, component.run(feeds)))
        except (ValueError, RuntimeError, IndexError) as error:
            # Of torch, and of modules with a limit of their own.
            raise FewstepError(
                f"expected a {component.name} for pictures of {width}x{height}, found: {root_cause(error)}; correct --profile"
            ) from error
    return made


def _resized(feeds: Feeds, sides: tuple[int, int]) -> Feeds:
    """The inputs with latents of other sides: these, repeated or cut, so that their statistics stay."""
    latents: Array = feeds[LATENTS]
    rows, columns = (np.arange(side) % length for side, length in zip(sides, latents.shape[2:], strict=True))
    return {**feeds, LATENTS: np.ascontiguousarray(latents[:, :, rows][:, :, :, columns])}


def _fixed(model: onnx.ModelProto, case: Case, sized: Collection[str]) -> onnx.ModelProto:
    """The graph with lengths for all free dimensions but the batch and the sides of the tensors of these names."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    known = {**case.feeds, **case.expected}
    free = [
        (dim, known[value.name].shape[i])
        for value in (*result.graph.input, *result.graph.output)
        for i, dim in enumerate(value.type.tensor_type.shape.dim)
        if i and not dim.HasField("dim_value") and not (value.name in sized and i in SIDES)
    ]
    if not free:
        return model
    for dim, length in free:
        dim.dim_value = length
    del result.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(result)


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Gives free dimensions other names, also inside of the formulas of others."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
            elif dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), dim.dim_param)
