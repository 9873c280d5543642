"""Tokenizer files that would panic, hang, or fill the memory; real ones pass."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import TokenizerFile
from fewstep.tokenizer import Tokenizer

RECORD = TokenizerFile("tokenizer.json", 8)
GPT4 = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""


@pytest.fixture
def value(tiny_bundle: Path) -> Any:
    return json.loads((tiny_bundle / "tokenizer.json").read_text())


def replace(pattern: dict[str, str], content: str) -> dict[str, object]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def split(pattern: str) -> dict[str, object]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*parts: object) -> dict[str, object]:
    return {"type": "Sequence", "normalizers": list(parts)}


def charsmap(longest: int) -> dict[str, object]:
    data = (4).to_bytes(4, "little") + b"\0" * 4 + b"x" * longest + b"\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


def special(name: str) -> dict[str, object]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def template(count: int, ids: int) -> dict[str, object]:
    tokens = {"[X]": {"id": "[X]", "ids": [1] * ids, "tokens": ["x"] * ids}}
    return {
        "type": "TemplateProcessing",
        "single": [special("[X]")] * count,
        "pair": [],
        "special_tokens": tokens,
    }


@pytest.mark.parametrize(
    ("field", "part", "message"),
    [
        (
            "normalizer",
            sequence(*[replace({"String": "a"}, "aa")] * 16),
            "make a text 6.55e.04 times as long",
        ),
        ("normalizer", replace({"Regex": "x*"}, "y" * 100), "make a text 101 times as long"),
        ("normalizer", replace({"String": ""}, "y"), "an empty pattern"),
        ("normalizer", charsmap(300), "a map that makes 300 bytes of a character"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "a broken map of characters"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "?"}, "expected a tokenizer"),
        ("pre_tokenizer", split("(a+)+$"), "a repeated pattern of repetitions"),
        ("pre_tokenizer", split("((a|b)x)*"), "a repeated pattern of repetitions"),
        ("pre_tokenizer", {"type": "FixedLength", "length": 0}, "pieces of length 0"),
        ("post_processor", template(1000, 1000), "a template of 1000000 tokens"),
        ("post_processor", {**template(1, 1), "special_tokens": {}}, "special token '.X.' has no number"),
    ],
)
def test_a_file_that_asks_for_too_much_is_refused(value: Any, field: str, part: object, message: str) -> None:
    value[field] = part
    with pytest.raises(BundleError, match=message):
        Tokenizer(json.dumps(value), RECORD)


@pytest.mark.parametrize(
    "content", ["", "[]", "1", "{}", "[" * 10_000, '{"normalizer": {"type": "Replace"}}']
)
def test_what_is_no_tokenizer_is_refused(content: str) -> None:
    with pytest.raises(BundleError, match="expected a tokenizer"):
        Tokenizer(content, RECORD)


def test_patterns_of_published_tokenizers_are_taken(value: Any) -> None:
    value["pre_tokenizer"] = split(GPT4)
    value["normalizer"] = sequence(
        replace({"Regex": r"\s+"}, " "), replace({"String": " "}, "▁"), charsmap(33)
    )
    value["normalizer"]["normalizers"].pop()  # its trie is empty, which Rust does not read
    assert Tokenizer(json.dumps(value), RECORD).encode(["a red"])["input_ids"].shape == (1, 8)


def test_a_panic_of_the_package_is_an_error_of_ours(value: Any, capfd: pytest.CaptureFixture[str]) -> None:
    value["pre_tokenizer"] = split("a*a*a*a*a*a*a*b")
    tokenizer = Tokenizer(json.dumps(value), RECORD)
    with pytest.raises(FewstepError, match=r"expected prompts in the words of tokenizer\.json"):
        tokenizer.encode(["a" * 100 + "!b"])
    capfd.readouterr()  # Rust tells of the panic on standard error


def test_numbers_that_no_graph_can_take_are_refused(value: Any) -> None:
    value["model"] = {"type": "WordLevel", "vocab": {"a": 2**32 - 1}, "unk_token": "a"}
    value["added_tokens"], value["post_processor"] = [], None
    with pytest.raises(BundleError, match="expected token numbers up to 2147483647, found 4294967295"):
        Tokenizer(json.dumps(value), RECORD).encode(["a"])
    value["padding"] = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 2**32 - 1,
        "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    with pytest.raises(BundleError, match="found 4294967295 for padding"):
        Tokenizer(json.dumps(value), RECORD)


def test_an_endless_prompt_is_refused(tiny_bundle: Path) -> None:
    tokenizer = Tokenizer.load(tiny_bundle / "tokenizer.json", RECORD)
    with pytest.raises(FewstepError, match="at most 100000 characters, found 100001"):
        tokenizer.encode(["a" * 100_001])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(BundleError, match="expected a tokenizer in UTF-8"):
        Tokenizer.load(tmp_path / "tokenizer.json", RECORD)
