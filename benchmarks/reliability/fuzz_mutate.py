"""Inputs near to real ones: bytes changed, and JSON values changed where they stand."""

import json
from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

_VALUES: Sequence[object] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, 1e-320, 2**31, 2**53 + 1, 2**64, 10**30, -(10**30), "", "x", "a" * 300,
    "../x", "/etc/passwd", "manifest.json", "ort/fp32/denoiser.onnx", "con", "\u202e", "\u00e4", "a\u0308", [], {}, [[]], [0] * 50,
    {"a": 1}, ["batch"], {"type": "Replace", "pattern": {"Regex": "a*"}, "content": "bb"}, {"Regex": "(a+)+$"}, {"String": ""},
)  # fmt: skip
_CHUNKS: Sequence[bytes] = (
    b"\0", b"\xff", b"\x80", b"NaN", b"1e999", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b'"', b",", b":", b"9" * 30,
    b"../", b"/", b"\\", b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff",
)  # fmt: skip


def mutated(data: bytes, random: Random) -> bytes:
    """The bytes with one to eight changes; JSON is changed as a value three times out of four."""
    if data[:1] in (b"{", b"[") and random.random() < 0.75:
        try:
            return json.dumps(_changed_json(json.loads(data), random)).encode()
        except (ValueError, RecursionError):
            pass
    changed = bytearray(data)
    for _ in range(1 << random.randrange(4)):
        _change_bytes(changed, random)
    return bytes(changed)


def _change_bytes(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    kind = random.randrange(6)
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << random.randrange(8)
    elif kind == 1 and data:
        data[at % len(data)] = random.randrange(256)
    elif kind == 2:
        data[at:at] = random.choice(_CHUNKS)
    elif kind == 3:
        chunk = random.choice(_CHUNKS)
        data[at : at + len(chunk)] = chunk
    elif kind == 4:
        del data[at : at + 1 + random.randrange(1 + len(data) // (1 + random.randrange(16)))]
    else:
        begin = random.randrange(len(data) + 1)
        data[at:at] = data[begin : begin + random.randrange(64)]


def _changed_json(value: Any, random: Random) -> Any:
    """One to four places changed, removed, doubled or wrapped."""
    for _ in range(1 << random.randrange(3)):
        places = _places(value)
        if not places:
            return deepcopy(random.choice(_VALUES))
        holder, key = random.choice(places)
        kind = random.randrange(8)
        if kind < 4:
            holder[key] = deepcopy(random.choice(_VALUES))
        elif kind == 4:
            del holder[key]
        elif (
            kind == 5 and len(places) < 300
        ):  # lists that are doubled share their items: copies of copies would have no end
            other_holder, other_key = random.choice(places)
            holder[key] = (
                json.loads(json.dumps(other_holder[other_key])) if other_key in _keys(other_holder) else None
            )
        elif kind == 6 and isinstance(holder, dict):
            holder[str(random.choice(_VALUES))] = deepcopy(random.choice(_VALUES))
        elif kind == 7 and isinstance(holder[key], list) and len(places) < 300:
            holder[key] = holder[key] * random.randrange(40)
        else:
            for _ in range(random.randrange(40)):
                holder[key] = [holder[key]]
    return value


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of every value inside, to a depth of 60."""
    places: list[tuple[Any, Any]] = []
    level = [value]
    for _ in range(60):
        holders = [item for item in level if isinstance(item, dict | list)]
        if not holders:
            break
        level = []
        for holder in holders:
            places += [(holder, key) for key in _keys(holder)]
            level += holder.values() if isinstance(holder, dict) else holder
    return places
