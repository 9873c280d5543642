"""Why a build is as fast as it is: every kind of node, integer or float, its time, and the reason."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from fewstep.bundle import Bundle
from fewstep.network import Feeds
from fewstep.variant import Component
from fewstep_quantization.sessions import session

INTEGER = frozenset(
    {"MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger", "ConvInteger"}
)  # fmt: skip
_WEIGHTS, _CONVERSIONS = frozenset({"MatMulNBits"}), frozenset({"QuantizeLinear", "DequantizeLinear"})
_PRODUCTS = frozenset({"MatMul", "Gemm", "FusedMatMul", "Conv", "FusedConv", "FusedGemm"})
_RUNS, _WARMUP = 8, 2
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class NodeKind:
    """All nodes of one operator: how many there are, milliseconds of one evaluation, what they compute in, and why."""

    operator: str
    count: int
    milliseconds: float
    computes_in: str
    reason: str


def explain_variant(
    path: Path,
    variant: str,
    float_layers: Mapping[str, Mapping[str, str]],
    threads: int | None = None,
) -> Iterator[tuple[str, list[NodeKind]]]:
    """By component, the kinds of nodes that ONNX Runtime runs after its own optimisation, slowest first.

    The batch is that of one picture: with guidance the prompt and the negative prompt.
    """
    bundle = Bundle.open(path)
    batch = 1 if bundle.manifest.guidance.scale == 1 else 2
    for name, component in bundle.manifest.variant(variant).components.items():
        file = bundle.file(component.file)
        yield name, explain_model(file, _feeds(component, batch), float_layers.get(name, {}), threads)


def explain_model(
    file: Path, feeds: Feeds, float_layers: Mapping[str, str], threads: int | None = None
) -> list[NodeKind]:
    """The kinds of nodes of one graph on these inputs, timed by ONNX Runtime's profiler."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = session(file, threads, Path(folder) / "profile")
        for _ in range(_WARMUP + _RUNS):
            loaded.run(None, dict(feeds))
        events = json.loads(Path(loaded.end_profiling()).read_text())
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]].append(event["dur"] / 1000)
    kinds = [_kind(operator, values, float_layers) for operator, values in times.items()]
    return sorted(kinds, key=lambda kind: -kind.milliseconds)


def explain_table(component: str, kinds: list[NodeKind]) -> Table:
    """The kinds as a table for the terminal, but for float work below 1 % of the time."""
    total = sum(kind.milliseconds for kind in kinds)
    result = Table(title=f"{component}: {total:.1f} ms")
    for heading in ("operator", "nodes", "ms", "share", "computes in", "why"):
        result.add_column(heading)
    for kind in kinds:
        if kind.milliseconds < _LEAST_SHARE * total and kind.computes_in == "float":
            continue
        share = f"{kind.milliseconds / total:.0%}"
        result.add_row(
            kind.operator, str(kind.count), f"{kind.milliseconds:.2f}", share, kind.computes_in, kind.reason
        )
    return result


def _kind(operator: str, times: list[float], float_layers: Mapping[str, str]) -> NodeKind:
    runs = _WARMUP + _RUNS
    count = len(times) // runs
    # The median run of every node would need their names; the sum of all but the slowest runs is near it.
    milliseconds = float(np.median(np.array(times[: count * runs]).reshape(runs, count).sum(axis=1)))
    if operator in INTEGER:
        return NodeKind(operator, count, milliseconds, "integers", "a layer with weights")
    if operator in _WEIGHTS:
        return NodeKind(operator, count, milliseconds, "float", "weights alone in 4 or 8 bits")
    if operator in _CONVERSIONS:
        return NodeKind(
            operator, count, milliseconds, "both", "on the way into integers, shared by all readers"
        )
    if operator in _PRODUCTS:
        why = ", ".join(sorted(set(float_layers.values()))) or "float graph"
        return NodeKind(
            operator,
            count,
            milliseconds,
            "float",
            f"attention, spatial convolution, or a layer left float ({why})",
        )
    return NodeKind(
        operator, count, milliseconds, "float", "normalisation, elementwise or layout: no gain in integers"
    )


def _feeds(component: Component, batch: int) -> Feeds:
    """Random inputs: unit normal, masks of ones, token 0."""
    generator = np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for spec in component.inputs:
        shape = [size if isinstance(size, int) else batch for size in spec.shape]
        if spec.dtype != "float32":
            feeds[spec.name] = np.zeros(shape, dtype=spec.dtype)
        elif spec.name.startswith("text_mask"):
            feeds[spec.name] = np.ones(shape, dtype=np.float32)
        else:
            feeds[spec.name] = generator.standard_normal(shape).astype(np.float32)
    return feeds
