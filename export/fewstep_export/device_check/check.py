"""The judgement: operators, types, shapes and memory, one finding each."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import onnx
from onnx import TensorProto

from fewstep.bundle import Bundle
from fewstep.devices.boards import Board
from fewstep.errors import FewstepError
from fewstep.manifest import Variant
from fewstep_export.device_check.memory import activation_bytes, at_batch
from fewstep_export.device_check.operators import DATA_DEPENDENT, TENSORRT
from fewstep_export.tensorrt.audit import SMALL

SYSTEM = 1_500_000_000
"""Bytes that a board's system takes with a desktop (an assumption: 1.1 to 1.6 GB are usual; half as much without one)."""
RUNTIME = {"tensorrt": 700_000_000, "onnxruntime": 150_000_000}
"""Bytes of Python with the engine: for TensorRT with CUDA's context and libraries (an assumption)."""
WORKSPACE = 256_000_000
"""Bytes of scratch memory that TensorRT may take (an assumption)."""
_BATCH = 2
"""Both branches of guidance."""


@dataclass(frozen=True)
class Finding:
    """What was found of a component ("" for the whole): in words, and whether it keeps the bundle from running."""

    component: str
    what: str
    serious: bool


def check(bundle: Bundle, board: Board, variant: str | None = None) -> list[Finding]:
    """Everything that is worth knowing before the bundle is copied to the board.

    Args:
        bundle: whose files are checked on the way.
        board: where it is to run.
        variant: of ONNX graphs; None takes the FP16 one, or else the default.

    Raises:
        FewstepError: the bundle has no such variant, or none of ONNX graphs.
    """
    chosen = _chosen(bundle, variant)
    found: list[Finding] = []
    weights, activations = 0, 0
    sides = _largest(bundle, chosen)
    for name, component in chosen.components.items():
        model = onnx.load(str(bundle.graph(component)), load_external_data=False)
        weights += bundle.manifest.bytes_of(component)
        fixed = at_batch(model, _BATCH, sides)
        peak, unknown = activation_bytes(fixed)
        activations = max(activations, peak)
        if unknown:
            found.append(Finding(name, f"the size of {unknown} tensors is unknown, and not counted", False))
        if board.engine == "tensorrt":
            found += [Finding(name, what, serious) for what, serious in _for_tensorrt(fixed)]
        found += [Finding(name, what, serious) for what, serious in _free_dims(model, sides)]
    return [*found, _memory(board, weights, activations)]


def _largest(bundle: Bundle, variant: Variant) -> Mapping[str, int]:
    """Height and width of the latents of the largest pictures, for graphs of many sizes."""
    if variant.sizes is None:
        return {}
    pixels = bundle.manifest.latent.pixels(bundle.manifest.image)
    width, height = max((p.largest for p in variant.sizes.profiles), key=prod)
    return {"height": height // pixels, "width": width // pixels}


def _chosen(bundle: Bundle, name: str | None) -> Variant:
    variants = [v for v in bundle.manifest.variants if v.format == "onnx"]
    if name is not None:
        variants = [v for v in variants if v.name == bundle.manifest.variant(name).name]
    if not variants:
        raise FewstepError(
            f"expected a variant of ONNX graphs, found {name or 'none'}, in {bundle.root}; export one with --target ort"
        )
    return next((v for v in variants if v.precision == "fp16" and v.form == "host"), variants[0])


def _for_tensorrt(model: onnx.ModelProto) -> Iterator[tuple[str, bool]]:
    foreign = Counter(
        node.op_type for node in model.graph.node if node.domain or node.op_type not in TENSORRT
    )
    for operator, count in foreign.items():
        first = next(node.name for node in model.graph.node if node.op_type == operator)
        yield f"TensorRT does not read {operator} ({count} nodes, the first is '{first}')", True
    for node in model.graph.node:
        if node.op_type in DATA_DEPENDENT:
            yield f"{node.op_type} of node '{node.name}' depends on values: no CUDA graph can hold it", False
    wide = [value.name for value in model.graph.value_info if _is_wide_int64(value)]
    if wide:
        yield f"INT64 in {len(wide)} tensors of data, the first is '{wide[0]}': slow on a GPU", False


def _is_wide_int64(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.elem_type == TensorProto.INT64 and prod(dim.dim_value for dim in tensor.shape.dim) > SMALL


def _free_dims(model: onnx.ModelProto, sides: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
    for value in model.graph.input:
        free = [dim.dim_param for dim in value.type.tensor_type.shape.dim[1:]]
        free = [name for name in free if name and name not in sides]
        if free:
            yield f"the input '{value.name}' has free dimensions besides the batch: {', '.join(free)}", False


def _memory(board: Board, weights: int, activations: int) -> Finding:
    workspace = WORKSPACE if board.engine == "tensorrt" else 0
    runtime = RUNTIME[board.engine]
    needed, there = weights + activations + workspace + runtime, board.memory - SYSTEM
    parts = {"weights": weights, "activations": activations, "workspace": workspace, "runtime": runtime}
    told = ", ".join(f"{name} {_gb(size)}" for name, size in parts.items() if size)
    what = f"about {_gb(needed)} of memory ({told}) of {_gb(there)} that {board.name} has beside its system"
    return Finding("", what, needed > there)


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
