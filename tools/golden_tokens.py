"""Writes tests/data/tokens.json: what the `tokenizers` package makes of awkward texts, for tokenizers in other languages.

python tools/golden_tokens.py
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

PATH = Path(__file__).parents[1] / "tests" / "data" / "tokens.json"

PIECES = "a red heart cat style cafe uber naive h ##e ##art ##s un ##af ##f ##able 3 ##d o ##k 中 文 ! , . - ' $ < + \u00ab \u03c3 ##\u03c3 \u0456 \u00df"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

TEXTS = (
    "",
    "   ",
    "red heart",
    "a  RED\theart,\n3d style",
    "Café naïve ÜBER",
    "cafe\u0301",
    "hearts, unaffable!",
    "zebra",
    "red[SEP]heart [MASK]",
    "中文red中",
    "a\u200bb re\u00add",
    "a\u00a0red\u3000heart\u2028cat",
    "\u0000red\ufffd heart",
    "it's $3 <3 + 3.",
    "«cat» — cat…",
    "\u03a3\u03a3 \u03c3\u03c2",
    "straße ß",
    "\u0130 \u0456",
    "😀 red \U0001f468\u200d\U0001f469",
    "h" * 101,
    "ok" * 4,
)


def tokenizer() -> Tokenizer:
    """WordPiece as BERT has it, with a vocabulary of a few dozen pieces."""
    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, *PIECES.split()])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    made.add_special_tokens(SPECIAL)
    return made


def golden() -> dict[str, Any]:
    """The tokenizer's own JSON, and token numbers by text."""
    made = tokenizer()
    return {
        "made_by": "python tools/golden_tokens.py",
        "tokenizer": json.loads(made.to_str()),
        "cases": [{"text": text, "ids": made.encode(text).ids} for text in TEXTS],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
