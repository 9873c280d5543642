"""What the layers of a package are given, and its weights as matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fewstep.network import Feeds
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.evaluation.layout import integers
from fewstep_export.coreml.package import Literal, Operation, read_package

Hessians = Mapping[str, Tensor]
"""Sums of x x^T (K, K) over the inputs of the layers, by the name of the weight."""
_ROWS_FIRST = {"linear": "weight", "conv": "weight", "gather": "x"}
"""Operators whose weight has output channels, or words, as its first axis, with the argument that holds it."""


@dataclass(frozen=True)
class Weights:
    """The FP16 weights of a package that can have palettes.

    Attributes:
        values: (O, K) float32 by name, O output channels or words.
        operators: what reads each of them first.
    """

    values: Mapping[str, Tensor]
    operators: Mapping[str, str]

    @classmethod
    def read(cls, path: Path, smallest: int) -> "Weights":
        """The weights of at least `smallest` values of the package `path`."""
        operations = read_package(path).operations
        readers = {
            operation.arguments.get(_ROWS_FIRST.get(operation.operator, "")): operation.operator
            for operation in reversed(operations)
            if isinstance(operation.arguments.get(_ROWS_FIRST.get(operation.operator, "")), str)
        }
        values = {}
        for operation in operations:
            name, stored = next(iter(operation.outputs), ""), operation.arguments.get("val")
            if name in readers and isinstance(stored, Literal) and stored.type.dtype == "fp16":
                matrix = torch.from_numpy(stored.value.astype("float32").reshape(stored.type.shape[0], -1))  # type: ignore[union-attr] # FP16 is no text
                if matrix.numel() >= smallest:
                    values[name] = matrix
        return cls(values, {name: readers[name] for name in values})


def hessians(path: Path, cases: Sequence[Feeds], padded: bool = False) -> Hessians:
    """Of the linear layers and of the convolutions without groups of an FP16 package, over all rows of all cases; see `shrunk`.

    With `padded`, rows of padding by `text_mask` are left out: no state that is read depends on them, and of 32 places a short text has 7.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    counted: Tensor | None = None

    def observe(operation: Operation, arguments: Mapping[str, Any]) -> None:
        name = operation.arguments.get("weight")
        inputs = _columns(operation.operator, arguments) if isinstance(name, str) else None
        if isinstance(name, str) and inputs is not None:
            inputs = inputs if counted is None or len(inputs) != len(counted) else inputs[counted]
            product = inputs.T @ inputs
            sums[name] = sums[name] + product if name in sums else product
            counts[name] = counts.get(name, 0) + len(inputs)

    evaluate = Evaluator(path, "fp16", observe)
    for feeds in cases:
        counted = torch.from_numpy(feeds["text_mask"][0] > 0) if padded else None
        evaluate(feeds)
    return {name: shrunk(total, counts[name]) for name, total in sums.items()}


def shrunk(total: Tensor, count: int) -> Tensor:
    """A sum of x x^T (K, K) over `count` rows, drawn towards independent inputs of equal strength by K / (K + count).

    A layer that reads a timestep or a prompt has seen a few dozen rows: directions in which none of them lies are not free for errors.
    """
    size = len(total)
    share = size / (size + count)
    return (1 - share) * total + share * total.diagonal().mean() * torch.eye(size)


def _columns(operator: str, arguments: Mapping[str, Any]) -> Tensor | None:
    """The inputs of a layer as vectors (N, K); None if it is no product of a vector and one matrix."""
    if operator == "linear":
        return arguments["x"].reshape(-1, arguments["x"].shape[-1])
    if operator != "conv" or arguments["weight"].ndim != 4 or int(arguments["groups"]) != 1:
        return None
    top, bottom, left, right = integers(arguments["pad"]) if "pad" in arguments else (0, 0, 0, 0)
    x = F.pad(arguments["x"], (left, right, top, bottom))
    kernel, dilation, stride = (
        (a[0], a[1])
        for a in (
            arguments["weight"].shape[2:],
            integers(arguments["dilations"]),
            integers(arguments["strides"]),
        )
    )
    patches = F.unfold(x, kernel, dilation=dilation, stride=stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])
