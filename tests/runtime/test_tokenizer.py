"""The tokenizer of the tiny bundle: padding, mask, and prompts that are too long."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Template, TokenizerFile
from fewstep.tokenizer import Tokenizer

RECORD = TokenizerFile("tokenizer.json", max_length=8)


@pytest.fixture
def tokenizer(tiny_bundle: Path) -> Tokenizer:
    return Tokenizer.load(tiny_bundle / "tokenizer.json", RECORD)


def test_texts_become_padded_numbers_and_a_mask(tokenizer: Tokenizer) -> None:
    tensors = tokenizer.encode(["a red heart", ""])
    input_ids, text_mask = tensors["input_ids"], tensors["text_mask"]
    np.testing.assert_array_equal(input_ids, [[2, 4, 5, 7, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(text_mask, [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]])
    assert (input_ids.dtype.name, text_mask.dtype.name) == ("int32", "float32")


def test_a_full_prompt_fits_and_is_not_cut_by_the_files_own_truncation(tokenizer: Tokenizer) -> None:
    tensors = tokenizer.encode(["a red a red a heart"])
    assert tensors["input_ids"][0].tolist() == [2, 4, 5, 4, 5, 4, 7, 3]
    assert tensors["text_mask"].all()


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(tokenizer: Tokenizer) -> None:
    with pytest.raises(
        FewstepError, match=r"at most 8 tokens, found 10002 tokens, .*; shorten the prompt"
    ) as caught:
        tokenizer.encode(["red " * 10_000])
    assert len(str(caught.value)) < 200


def test_a_prompt_that_is_no_unicode_text_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(FewstepError, match="expected prompts in UTF-8, found other bytes") as caught:
        tokenizer.encode(["a heart", "\udc80"])
    assert str(caught.value).isascii()


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(
        BundleError, match=r"expected a tokenizer, found something else, in .*tokenizer\.json"
    ):
        Tokenizer.load(tmp_path / "tokenizer.json", RECORD)


def test_prompts_stand_in_their_template(tiny_bundle: Path) -> None:
    record = replace(
        RECORD, lowercase=True, prompt=Template("a ", " style", skip=1), negative=Template("flat ")
    )
    tokenizer = Tokenizer.load(tiny_bundle / "tokenizer.json", record)
    prompt, negative = tokenizer.encode([" RED heart "]), tokenizer.encode(["Red"], negative=True)
    assert prompt["input_ids"][0].tolist() == [2, 4, 5, 7, 11, 3, 0, 0]
    assert negative["input_ids"][0].tolist() == [2, 10, 5, 3, 0, 0, 0, 0]
    assert (prompt["text_skip"].tolist(), negative["text_skip"].tolist()) == ([1], [0])
    assert prompt["text_skip"].dtype == np.int32


def test_class_names_are_words_and_the_empty_prompt_is_the_padding() -> None:
    classes = tokenizers.Tokenizer(tokenizers.models.WordLevel({"goldfish": 1, "tench, Tinca tinca": 0}))
    classes.enable_padding(pad_id=1000, pad_token="")
    tokenizer = Tokenizer(classes.to_str(), TokenizerFile("classes.json", max_length=1))
    found = tokenizer.encode(["tench, Tinca tinca", "goldfish", ""])["input_ids"]
    assert found.tolist() == [[0], [1], [1000]]
    with pytest.raises(FewstepError, match=r"expected prompts in the words of classes\.json, .* in 'zebra'"):
        tokenizer.encode(["zebra"])
