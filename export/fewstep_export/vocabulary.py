"""A WordPiece vocabulary cut to what prompts of a model need: the table of words is half of a small text encoder's file.

BERT's vocabulary lists, after numbers never used and single characters, pieces of words by how often they occur. A word whose piece is cut
is written with smaller ones, as every rare word is; where all pieces of a prompt are kept, the encoder gives the same bits as before.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import tokenizers

from fewstep.errors import FewstepError

_NEVER_USED = "[unused"


@dataclass(frozen=True)
class CutVocabulary:
    """A smaller tokenizer, and what it kept.

    Args:
        content: of the tokenizer's file.
        rows: the old number of each piece, by its new one.
    """

    content: str
    rows: tuple[int, ...]


def cut_vocabulary(content: str, frequent: int, words: Collection[str] = ()) -> CutVocabulary:
    """Keeps special tokens, single ASCII characters, the pieces of `words`, and the `frequent` most frequent pieces in ASCII.

    Args:
        content: a `tokenizers` JSON file with a WordPiece model whose numbers count by frequency.
        frequent: how many pieces, most frequent first, stay whatever `words` are.
        words: that the model was taught; they keep their pieces, in any script.

    Raises:
        FewstepError: the model is another than WordPiece.
    """
    data: dict[str, Any] = json.loads(content)
    kind = data["model"].get(
        "type", "WordPiece" if "max_input_chars_per_word" in data["model"] else "another"
    )
    if kind != "WordPiece":
        raise FewstepError(f"expected a WordPiece tokenizer for --vocabulary, found {kind}; leave it out")
    old: dict[str, int] = data["model"]["vocab"]
    kept = _kept(content, old, data, frequent, words)
    pieces = sorted(kept, key=old.__getitem__)
    new = {piece: number for number, piece in enumerate(pieces)}
    data["model"]["vocab"] = new
    for token in data.get("added_tokens", []):
        token["id"] = new[token["content"]]
    if data.get("padding"):
        data["padding"]["pad_id"] = new[data["padding"]["pad_token"]]
    for token in ((data.get("post_processor") or {}).get("special_tokens") or {}).values():
        token["ids"] = [new[piece] for piece in token["tokens"]]
    return CutVocabulary(json.dumps(data, ensure_ascii=False), tuple(old[piece] for piece in pieces))


def _kept(
    content: str, old: dict[str, int], data: dict[str, Any], frequent: int, words: Collection[str]
) -> set[str]:
    special = {token["content"] for token in data.get("added_tokens", [])} | {data["model"]["unk_token"]}
    post = (data.get("post_processor") or {}).get("special_tokens") or {}
    special |= {piece for token in post.values() for piece in token["tokens"]}
    special |= {data["padding"]["pad_token"]} if data.get("padding") else {"[PAD]"} & old.keys()
    prefix = data["model"]["continuing_subword_prefix"]
    plain = [piece for piece in sorted(old, key=old.__getitem__) if _plain(piece) and piece not in special]
    letters = {piece for piece in plain if len(piece.removeprefix(prefix)) == 1}
    common = [piece for piece in plain if piece not in letters][:frequent]
    whole = tokenizers.Tokenizer.from_str(content)
    whole.no_padding()
    whole.no_truncation()
    taught = {
        piece for entry in whole.encode_batch(list(words), add_special_tokens=False) for piece in entry.tokens
    }
    return special | letters | set(common) | taught


def _plain(piece: str) -> bool:
    return piece.isascii() and not piece.startswith(_NEVER_USED)
