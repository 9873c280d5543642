"""Frozen dataclasses to JSON and back, strictly: nothing missing, nothing unknown, every value of its declared type.

A declared type may be bool, int, float, str, `object` (any JSON value), Literal, a union of these or of any one with None,
tuple[T, ...], tuple[T, U], Mapping[str, T] or another such dataclass. An error names the place, like `manifest.latent.shape[0]`.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fewstep.errors import BundleError, FewstepError

T = TypeVar("T")
_NAMES = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}


def from_json(kind: type[T], value: object, where: str) -> T:
    """The record of type `kind` that the JSON value holds; `where` names the value in errors (BundleError)."""
    record: T = _convert(kind, value, where)
    return record


def to_json(value: object) -> Any:
    """The JSON value of a record: dataclasses and mappings become objects, tuples become arrays."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def _convert(kind: Any, value: object, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _record(kind, value, where)
    if origin is Literal:
        return _choice(arguments, value, where)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is not None:  # Mapping[str, T]
        return {
            key: _convert(arguments[1], item, f"{where}.{key}") for key, item in _object(value, where).items()
        }
    return value if kind is object else _scalar(kind, value, where)


def _record(kind: Any, value: object, where: str) -> Any:
    found, hints = _object(value, where), _hints(kind)
    optional = {f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING}
    if missing := sorted(hints.keys() - optional - found.keys()):
        raise BundleError(f"expected the field '{missing[0]}', found no such field, in {where}")
    if unknown := sorted(found.keys() - hints.keys()):
        raise BundleError(f"expected one of the fields {', '.join(hints)}, found '{unknown[0]}', in {where}")
    values = {name: _convert(hints[name], item, f"{where}.{name}") for name, item in found.items()}
    try:
        return kind(**values)
    except FewstepError as error:  # a rule of __post_init__, which does not know where the record stands
        raise BundleError(f"{error}, in {where}") from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise BundleError(f"expected an object, found {_short(value)}, in {where}")
    return value


def _tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise BundleError(f"expected an array, found {_short(value)}, in {where}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise BundleError(f"expected an array of {len(kinds)}, found {len(value)} values, in {where}")
    return tuple(
        _convert(k, item, f"{where}[{i}]") for i, (k, item) in enumerate(zip(kinds, value, strict=True))
    )


def _union(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    for kind in kinds:
        if (kind is types.NoneType and value is None) or (kind in _NAMES and _is(kind, value)):
            return value
    if value is not None and (others := [k for k in kinds if k not in _NAMES and k is not types.NoneType]):
        return _convert(others[0], value, where)
    expected = " or ".join(_NAMES.get(kind, "nothing (null)") for kind in kinds)
    raise BundleError(f"expected {expected}, found {_short(value)}, in {where}")


def _choice(allowed: tuple[object, ...], value: object, where: str) -> object:
    if value not in allowed or isinstance(value, bool):
        raise BundleError(f"expected {' or '.join(map(repr, allowed))}, found {_short(value)}, in {where}")
    return value


def _scalar(kind: type, value: object, where: str) -> Any:
    if not _is(kind, value):
        raise BundleError(f"expected {_NAMES[kind]}, found {_short(value)}, in {where}")
    return kind(value)


def _is(kind: type, value: object) -> bool:
    """Whether the JSON value is of the kind; 1 is a float too, true is no number, and NaN and infinity are none."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
