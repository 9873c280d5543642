"""JSON without its doors: no repeated keys, no NaN, no half characters, bounded in size and depth."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from fewstep.errors import BundleError
from fewstep.limits import JSON_BYTES, JSON_DEPTH


def no_constant(name: str) -> NoReturn:
    """Refuses NaN, Infinity and -Infinity, which Python writes and JSON has not."""
    raise ValueError(f"{name} is no number of JSON")


def load_json(path: Path, limit: int = JSON_BYTES, constant: Callable[[str], object] = no_constant) -> object:
    """The JSON value in a UTF-8 file of at most `limit` bytes, `constant` as in `parse_json`.

    Raises:
        BundleError: the file cannot be read or is larger, or `parse_json` refuses it.
    """
    return parse_json(read_bytes(path, limit), str(path), constant)


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises:
        BundleError: the file cannot be read or is larger.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise BundleError(
            f"expected a readable file, found none at {path} ({error.strerror}); check the path"
        ) from None
    if len(data) > limit:
        raise BundleError(f"expected at most {limit} bytes, found more, in {path}")
    return data


def parse_json(data: bytes, where: str, constant: Callable[[str], object] = no_constant) -> object:
    """The JSON value in UTF-8 bytes; `where` names them in errors, and `constant` says what stands for NaN, Infinity and -Infinity.

    Raises:
        BundleError: it is no JSON (RFC 8259), an object has a key twice, a number is not finite, a text has half of a surrogate pair or
            a control character other than a tab or a line's end, or arrays and objects lie too deep inside each other.
    """
    try:
        value: object = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"expected JSON, found something else in {where} ({error}); build the bundle again"
        ) from None
    _check(value, where)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is there twice")
    return made


def _check(value: object, where: str) -> None:
    """Level by level, so that a deep value costs no stack."""
    level: list[object] = [value]
    for _ in range(JSON_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item, where)
            elif isinstance(item, float):
                _check_number(item, where)
            elif isinstance(item, dict):
                _check_texts(item, where)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return
        level = inner
    raise BundleError(f"expected at most {JSON_DEPTH} levels of arrays and objects, found more, in {where}")


def _check_texts(texts: Iterable[str], where: str) -> None:
    for text in texts:
        _check_text(text, where)


def _check_text(text: str, where: str) -> None:
    if text.isprintable():
        return
    for character in text:
        code = ord(character)
        if 0xD800 <= code < 0xE000 or ((code < 32 or 127 <= code < 160) and character not in "\t\n\r"):
            raise BundleError(f"expected plain text, found the character U+{code:04X} in it, in {where}")


def _check_number(number: float, where: str) -> None:
    if number - number != 0.0:
        raise BundleError(f"expected finite numbers, found one that no float can hold, in {where}")
