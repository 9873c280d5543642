"""What an ONNX file asks for besides arithmetic: files beside it, operators that are not ONNX's, functions of its own.

The runtime has no onnx package, so this reads protobuf's wire format itself, and of it only the fields named below (numbers of
onnx.proto3). Weights are skipped, not read.
"""

import mmap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fewstep.errors import BundleError
from fewstep.limits import GRAPH_DEPTH, GRAPH_MESSAGES

DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
"""Whose operators every ONNX Runtime has built in: ONNX's own and ONNX Runtime's."""

_GRAPH, _FUNCTION, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _ENTRY = range(7)
_ROOT = {7: _GRAPH, 25: _FUNCTION}
_INSIDE: Mapping[int, Mapping[int, int]] = {
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _TENSOR: {13: _ENTRY},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
}
"""Which fields of a message hold which messages."""
_TRAINING = 20


@dataclass
class Needs:
    """What a graph needs: files by the names it gives them, and operators and functions as DOMAIN::NAME."""

    files: set[str] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)


def require_safe_graph(path: Path, files: Collection[str], allowed: Collection[str]) -> None:
    """Refuses a graph that reaches beyond what it is: a file not of the component, or an operator or function not allowed by name.

    Args:
        path: the .onnx file.
        files: names of the files beside it that it may read.
        allowed: operators of other domains than `DOMAINS`, and functions of the graph, as DOMAIN::NAME.

    Raises:
        BundleError: it is, or the file is no ONNX.
    """
    needs = needs_of(path)
    if outside := sorted(needs.files - set(files)):
        raise BundleError(
            f"expected the weights of a graph inside the bundle and beside it, found '{outside[0]}', in {path}; export the bundle "
            "again, and do not trust where this one came from"
        )
    foreign = {name for name in needs.operators if name.partition("::")[0] not in DOMAINS}
    for kind, names in (("functions", needs.functions), ("operators", foreign)):
        if unknown := sorted(names - set(allowed)):
            raise BundleError(
                f"expected {kind} that ONNX Runtime has, found '{unknown[0]}', in {path}; if you know what it is, "
                f"allow it by --allow-operator {unknown[0]}"
            )


def needs_of(path: Path) -> Needs:
    """What the graph in a file needs.

    Raises:
        BundleError: the file is no ONNX, or nested or long beyond what a graph is.
    """
    needs = Needs()
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Walk(data, needs).model()
    except (ValueError, IndexError) as error:  # an empty file cannot be mapped
        raise BundleError(
            f"expected an ONNX graph, found a broken one, in {path} ({error}); export the bundle again"
        ) from None
    return needs


class _Walk:
    """One pass over a model."""

    def __init__(self, data: mmap.mmap, needs: Needs) -> None:
        self._data, self._needs, self._left = data, needs, GRAPH_MESSAGES

    def model(self) -> None:
        for number, begin, end in self._fields(0, len(self._data)):
            if number == _TRAINING:
                raise ValueError("it has training information")
            if number in _ROOT:
                self._message(_ROOT[number], begin, end, 0)

    def _message(self, kind: int, begin: int, end: int, depth: int) -> None:
        if depth > 3 * GRAPH_DEPTH:
            raise ValueError("graphs lie too deep inside each other")
        inside, texts = _INSIDE[kind], {}
        for number, start, stop in self._fields(begin, end):
            if number in inside:
                if inside[number] == _ENTRY:
                    self._entry(start, stop)
                else:
                    self._message(inside[number], start, stop, depth + 1)
            elif number in _NAMES.get(kind, ()):
                texts[number] = self._text(start, stop)
        if kind == _NODE:
            self._needs.operators.add(f"{texts.get(7, '')}::{texts.get(4, '')}")
        elif kind == _FUNCTION:
            self._needs.functions.add(f"{texts.get(10, '')}::{texts.get(1, '')}")

    def _entry(self, begin: int, end: int) -> None:
        """A line of `external_data`: key (1) and value (2)."""
        texts = {number: self._text(a, b) for number, a, b in self._fields(begin, end) if number in (1, 2)}
        if texts.get(1) == "location":
            self._needs.files.add(texts.get(2, ""))

    def _text(self, begin: int, end: int) -> str:
        if end - begin > 4096:
            raise ValueError("a name is longer than 4096 bytes")
        return self._data[begin:end].decode("utf-8")

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(number, begin, end) of every field that has a length."""
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {GRAPH_MESSAGES} fields")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                _, at = self._varint(at, end)
            elif wire == 2:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise ValueError(f"a field of {size} bytes reaches beyond its message")
                yield number, at, at + size
                at += size
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire} is not of this format")
        if at != end:
            raise ValueError("a field reaches beyond its message")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
            shift += 7
        raise ValueError("a number has no end")


_NAMES = {_NODE: (4, 7), _FUNCTION: (1, 10)}
"""Texts that are read: operator and domain of a node, name and domain of a function."""
