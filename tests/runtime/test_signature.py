"""Signatures: what minisign itself wrote is taken, and nothing that differs from it by a bit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError, SignatureError
from fewstep.signature import key_text, verify
from fewstep.trust import Trust

MADE = json.loads((Path(__file__).parents[1] / "data" / "minisign.json").read_text())
CONTENT, KEY = MADE["content"].encode(), MADE["public_key"]


@pytest.mark.parametrize(
    ("name", "comment"), [("signature", "fewstep 2026-11-26"), ("old_signature", "legacy")]
)
def test_what_minisign_wrote_is_taken(name: str, comment: str) -> None:
    assert verify(CONTENT, MADE[name], KEY, "x") == comment
    assert verify(CONTENT, MADE[name], KEY.splitlines()[1], "x") == comment


def flipped(text: str, line: int, position: int) -> str:
    lines = text.splitlines()
    old = lines[line][position]
    lines[line] = lines[line][:position] + ("A" if old != "A" else "B") + lines[line][position + 1 :]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "signature", "message"),
    [
        (CONTENT + b" ", MADE["signature"], "the file was changed"),
        (CONTENT, flipped(MADE["signature"], 1, 40), "the file was changed"),
        (CONTENT, flipped(MADE["signature"], 2, 20), "the file was changed"),
        (CONTENT, flipped(MADE["signature"], 3, 20), "the file was changed"),
        (
            CONTENT,
            flipped(MADE["signature"], 1, 6),
            "expected a signature by the key AB20970F07444E1C, found one by",
        ),
        (CONTENT, "", "expected a signature of minisign, found something else"),
        (CONTENT, "a\nb\nc\nd\n", "expected a signature of minisign, found something else"),
        (CONTENT, "\n".join(MADE["signature"].splitlines()[:2]), "expected a signature of minisign"),
    ],
)
def test_anything_else_is_refused(content: bytes, signature: str, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        verify(content, signature, KEY, "x")


def test_a_key_that_is_none_is_named() -> None:
    with pytest.raises(FewstepError, match="expected a public key of minisign"):
        verify(CONTENT, MADE["signature"], "hello", "x")


def test_a_key_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(KEY)
    assert key_text(str(tmp_path / "key.pub")) == KEY and key_text("RWQ") == "RWQ"


def test_a_bundle_is_opened_only_with_its_signature(
    bundle_copy: Path, sign_bundle: Callable[[Path], str]
) -> None:
    with pytest.raises(SignatureError, match=r"expected a signed bundle, found no manifest\.json\.minisig"):
        Bundle.open(bundle_copy, Trust(KEY))
    key = sign_bundle(bundle_copy)
    Bundle.open(bundle_copy, Trust(key)).verify()
    with pytest.raises(SignatureError, match="found one by"):
        Bundle.open(bundle_copy, Trust(KEY))
    manifest = bundle_copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"tinier"'))
    Bundle.open(bundle_copy)
    with pytest.raises(SignatureError, match="the file was changed"):
        Bundle.open(bundle_copy, Trust(key))
