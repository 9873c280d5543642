"""Tokenizers of transformers give the same numbers in the runtime; T5's is converted from its sentencepiece model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep.manifest import TokenizerFile
from fewstep.tokenizer import Tokenizer
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.tokenizers import read_tokenizer

TEXTS = ["", "a red heart", "  A Smiling CAT, 3D  ", "naïve café ☕", "x" * 30, "<|endoftext|> a", "a\nb"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("sd1", "tokenizer"), ("sdxl", "tokenizer_2"), ("pixart_alpha", "tokenizer"), ("sd3", "tokenizer_3"),
        ("sana", "tokenizer"), ("z_image", "tokenizer"),
    ],
)  # fmt: skip
def test_numbers_and_mask_are_those_of_transformers(
    name: str, part: str, checkpoint: Callable[[str], Path]
) -> None:
    folder = Folder.open(checkpoint(name))
    original = folder.tokenizer(part)
    original.padding_side = "right"
    source = read_tokenizer(folder, part, TokenizerFile("tokenizer.json", 50))
    found = Tokenizer(source.content, source.record).encode(TEXTS)
    expected = original(TEXTS, padding="max_length", max_length=50)
    assert found["input_ids"].tolist() == expected["input_ids"]
    assert found["text_mask"].tolist() == expected["attention_mask"]


def test_pixart_has_a_sentencepiece_model_alone(checkpoint: Callable[[str], Path]) -> None:
    names = {path.name for path in (checkpoint("pixart_alpha") / "tokenizer").iterdir()}
    assert "spiece.model" in names and "tokenizer.json" not in names
