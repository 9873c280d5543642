"""A traced graph and its weights to an ONNX file with external data; at no time are two weights in memory."""

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from fewstep_export.large.lazy_fold import LazyFold
from fewstep_export.large.trace import LargeNetwork, Trace
from fewstep_export.large.weights import Weights, require

OnBytes = Callable[[int, int], None]
"""(bytes written, bytes in all)"""
SMALL_BYTES = 1024  # smaller tensors stay in the .onnx file
ALIGNMENT = 64  # of each tensor, for engines that map the file


def write(
    network: LargeNetwork,
    traced: Trace,
    weights: Weights,
    path: Path,
    on_bytes: OnBytes = lambda _done, _all: None,
) -> None:
    """Writes `path` and, beside it, `path` + ".data".

    Raises:
        FewstepError: a weight is missing, superfluous or of another shape.
        OSError: the files cannot be written.
    """
    require(weights, network.weight_shapes(), f"the weights of {network.name}")
    model = _attach(network, traced, weights)
    model = LazyFold()(model).model
    model = common.RemoveUnusedNodesPass()(model).model
    save(model, path, on_bytes)
    onnx.checker.check_model(str(path))


def save(model: ir.Model, path: Path, on_bytes: OnBytes = lambda _done, _all: None) -> None:
    """Writes `path` and, beside it, `path` + ".data", one weight after the other.

    Raises:
        OSError: the files cannot be written.
    """
    total = sum(t.nbytes for v in model.graph.initializers.values() if (t := v.const_value) is not None)
    done = 0

    def count(tensor: ir.TensorProtocol, _info: object) -> None:
        nonlocal done
        done += tensor.nbytes
        on_bytes(done, total)

    ir.save(
        model,
        path,
        external_data=f"{path.name}.data",
        size_threshold_bytes=SMALL_BYTES,
        callback=count,
        max_workers=1,
        alignment=ALIGNMENT,
    )


def _attach(network: LargeNetwork, traced: Trace, weights: Weights) -> ir.Model:
    for name in traced.weights:
        value = traced.model.graph.initializers.get(name)
        if value is None:
            continue  # a parameter that the network does not use
        stored = name.removeprefix(network.prefix)
        value.const_value = _stored(weights, stored, name)
        value.shape, value.type = value.const_value.shape, ir.TensorType(ir.DataType.FLOAT)
    return traced.model


def _stored(weights: Weights, stored: str, name: str) -> ir.LazyTensor:
    return ir.LazyTensor(
        lambda: ir.Tensor(weights.read(stored), name=name),
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(weights.shapes[stored]),
        name=name,
    )
