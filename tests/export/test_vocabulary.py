"""A cut vocabulary: what is kept reads as before, what is not is spelled, and the graphs follow."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from fewstep.errors import FewstepError
from fewstep_export.vocabulary import cut_vocabulary
from fewstep_models.minilm import MiniLM, MiniLMConfig

PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", *"abcrt", *(f"##{c}" for c in "abcrt"), "é", "中"]
PIECES += ["cat", "car", "##at", "##ar", "bar", "tract"]


@pytest.fixture
def content() -> str:
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {piece: number for number, piece in enumerate(PIECES)},
    }
    special = {
        name: {"id": name, "ids": [PIECES.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")
    }
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    single.append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": {
                "strategy": {"Fixed": 8},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "[PAD]",
            },
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": single,
                "special_tokens": special,
            },
            "decoder": None,
            "model": model,
        }
    )


def tokens(content: str, text: str) -> list[str]:
    return [token for token in Tokenizer.from_str(content).encode(text).tokens if token != "[PAD]"]


def test_taught_and_frequent_pieces_stay_and_others_are_spelled(content: str) -> None:
    cut = cut_vocabulary(content, 2, ["tract", "é"])
    assert tokens(content, "cat bar tract é") == ["[CLS]", "cat", "bar", "tract", "é", "[SEP]"]
    assert tokens(cut.content, "cat bar tract é") == [
        "[CLS]",
        "cat",
        "b",
        "##a",
        "##r",
        "tract",
        "é",
        "[SEP]",
    ]
    assert [PIECES[row] for row in cut.rows] == [
        p for p in PIECES if p not in ("[unused0]", "中", "##at", "##ar", "bar")
    ]


def test_numbers_lead_to_the_same_words(content: str) -> None:
    cut = cut_vocabulary(content, 1)
    before, after = (Tokenizer.from_str(text).encode("cat tab") for text in (content, cut.content))
    assert [cut.rows[number] for number in after.ids] == before.ids
    assert after.tokens == ["[CLS]", "cat", "t", "##a", "##b", "[SEP]", "[PAD]", "[PAD]"]


def test_an_encoder_with_fewer_rows_gives_the_same_states() -> None:
    torch.manual_seed(0)
    encoder = MiniLM(MiniLMConfig(vocabulary=9, positions=8, width=32, layers=1, heads=2, ffn=64)).eval()
    cut = encoder.with_rows((0, 3, 5))
    mask = torch.ones(1, 3)
    expected = encoder(torch.tensor([[5, 0, 3]]), mask)
    torch.testing.assert_close(cut(torch.tensor([[2, 0, 1]]), mask), expected, rtol=0, atol=0)
    assert (cut.config.vocabulary, len(encoder.words.weight)) == (3, 9)


def test_another_kind_of_tokenizer_is_refused() -> None:
    content = json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}})
    with pytest.raises(FewstepError, match="expected a WordPiece tokenizer for --vocabulary, found BPE"):
        cut_vocabulary(content, 10)


def test_the_zoo_tells_names_keywords_styles_and_templates() -> None:
    folder = Path(__file__).parents[2] / "models/fewstep_models/zoo/emoji-128"
    words = (folder / "words.txt").read_text(encoding="utf-8").split()
    assert {"heart", "pizza", "glossy", "sticker", "emoji", "purple", ","} <= set(words)
