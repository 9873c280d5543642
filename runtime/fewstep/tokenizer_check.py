"""What a tokenizer file may ask for, checked before the `tokenizers` package builds it.

The package trusts its files: some of them stop its Rust code with a panic, and a normaliser may turn one character into millions.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fewstep.errors import BundleError
from fewstep.limits import JSON_DEPTH, TOKENIZER_BYTES, TOKENS

_GROWTH = 64.0
"""Characters that all normalisers together may make of one."""
_MAP_ENTRY = 256
"""Bytes that a map of SentencePiece may make of one character; its own nmt_nfkc has 33."""
_MERGED = re.compile(r"\)\s*(?:[*+]|\{\d*,\d*\})")
_REPEATS = re.compile(r"(?<!\\)[*+]|\{\d*,\d*\}|(?<!\\)\|")


def require_tame(content: str, where: str) -> None:
    """Refuses a tokenizer file that grows a prompt without bound, repeats a repeated pattern, draws by chance, or makes Rust panic.

    Raises:
        BundleError: it does, or it is no JSON object.
    """
    if len(content) > TOKENIZER_BYTES:
        raise BundleError(f"expected a tokenizer of at most {TOKENIZER_BYTES} bytes, found more, in {where}")
    try:
        value = json.loads(content)
        wrong = next(_wrong(value), None) if isinstance(value, dict) else "no object"
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
        wrong = f"{type(error).__name__} {error}"
    if wrong:
        raise BundleError(
            f"expected a tokenizer, found one with {wrong}, in {where}; export the bundle again"
        )


def _wrong(value: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, in words."""
    parts = list(_parts([value.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor")]))
    growth = 1.0
    for part in parts:
        kind = part.get("type")
        if kind == "Replace":
            growth *= _growth(part)
        elif kind == "Precompiled" and (reason := _wrong_map(part["precompiled_charsmap"])):
            yield reason
        elif kind == "FixedLength" and not part.get("length"):
            yield "pieces of length 0"
        elif kind == "TemplateProcessing":
            yield from _wrong_template(part)
        pattern = part.get("pattern")
        if isinstance(pattern, dict) and (reason := _wrong_pattern(pattern)):
            yield reason
    if growth > _GROWTH:
        yield f"replacements that make a text {growth:.3g} times as long"
    model = value.get("model")
    if isinstance(model, dict) and model.get("dropout"):
        yield "merges dropped by chance (the same prompt must give the same picture)"


def _parts(values: list[Any]) -> Iterator[Mapping[str, Any]]:
    """The objects with a type, however deep in sequences."""
    for _ in range(JSON_DEPTH):
        inner: list[Any] = []
        for value in values:
            if isinstance(value, dict):
                if "type" in value:
                    yield value
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        if not inner:
            return
        values = inner
    raise ValueError(f"more than {JSON_DEPTH} levels")


def _growth(part: Mapping[str, Any]) -> float:
    """How much longer a text may get; a regular expression may match between any two characters."""
    pattern, made = part["pattern"], len(part["content"])
    found = len(pattern["String"]) if isinstance(pattern, dict) and "String" in pattern else 0
    return max(1.0, made / found) if found else 1.0 + made


def _wrong_pattern(pattern: Mapping[str, Any]) -> str | None:
    """A group that is repeated and has repetitions or choices inside may take exponential time to fail."""
    text = pattern.get("Regex")
    if not isinstance(text, str):
        return "an empty pattern" if pattern.get("String") == "" else None
    for match in _MERGED.finditer(text):
        if _REPEATS.search(text[_opening(text, match.start()) : match.start()]):
            return f"a repeated pattern of repetitions, {text[:60]!r}"
    return None


def _opening(text: str, closing: int) -> int:
    """Where the group that ends there begins."""
    depth = 0
    for at in range(closing, -1, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if depth == 0:
            return at
    return 0


def _wrong_map(text: str) -> str | None:
    """The map: u32 size of a trie, the trie, then what the characters become, each ending in a zero byte."""
    data = base64.b64decode(text, validate=True)
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or size % 4 or not size or 4 + size > len(data):
        return "a broken map of characters"
    longest = max(map(len, data[4 + size :].split(b"\0")))
    return f"a map that makes {longest} bytes of a character" if longest > _MAP_ENTRY else None


def _wrong_template(part: Mapping[str, Any]) -> Iterator[str]:
    special = part.get("special_tokens") or {}
    for side in ("single", "pair"):
        total = 0
        for piece in part.get(side) or ():
            if isinstance(piece, dict) and "SpecialToken" in piece:
                name = piece["SpecialToken"]["id"]
                if name not in special:
                    yield f"a template whose special token {name!r} has no number"
                    return
                total += len(special[name]["ids"])
        if total > TOKENS:
            yield f"a template of {total} tokens"
