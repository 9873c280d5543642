"""How many bytes of activations an evaluation holds at once, counted without computing anything."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fewstep_export.components import Component, Feeds

_SCORES = 2
"""Matrices of attention scores alive at once in a graph, which has softmax as an operator: before and after it."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation would give and hold.

    Attributes:
        shapes: of the outputs, by name.
        torch: bytes of activations alive at once in torch, whose attention keeps no scores.
        graph: the same in a graph, whose attention does.
    """

    shapes: Mapping[str, tuple[int, ...]]
    torch: int
    graph: int


def imagine(component: Component, feeds: Feeds) -> Evaluation:
    """An evaluation on shapes alone: torch's fake tensors have no values and take no memory."""
    count = _Count()
    with torch.inference_mode(), FakeTensorMode(allow_non_fake_inputs=True) as fake, count:
        inputs = (fake.from_tensor(torch.from_numpy(feeds[name])) for name in component.inputs)
        result = component.module(*inputs)
    outputs = (result,) if isinstance(result, Tensor) else result
    shapes = {name: tuple(output.shape) for name, output in zip(component.outputs, outputs, strict=True)}
    return Evaluation(shapes, count.peak, count.graph_peak)


class _Count(TorchDispatchMode):
    """Adds up the storages that operators make, and takes them off when they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self.graph_peak = self._alive = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._add(value)
        self.peak = max(self.peak, self._alive)
        self.graph_peak = max(self.graph_peak, self._alive + _score_bytes(func, args))
        return result

    def _add(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self._alive += (size := storage.nbytes())
            weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self._alive -= size


def _score_bytes(func: Callable[..., object], args: tuple[Any, ...]) -> int:
    """Of an attention: scores of every query (..., Q, D) with every key (..., K, D)."""
    if "scaled_dot_product" not in str(func):
        return 0
    query, key = args[:2]
    scores = query.shape.numel() // query.shape[-1] * key.shape[-2]
    return _SCORES * scores * int(query.element_size())
