"""The tokenizer of the tiny bundle: padding, mask, and prompts that are too long."""

from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import BundleError, FewstepError
from fewstep.tokenizer import Tokenizer


@pytest.fixture
def tokenizer(tiny_bundle: Path) -> Tokenizer:
    return Tokenizer(tiny_bundle / "tokenizer.json", max_length=8)


def test_texts_become_padded_numbers_and_a_mask(tokenizer: Tokenizer) -> None:
    input_ids, text_mask = tokenizer.encode(["a red heart", ""])
    np.testing.assert_array_equal(input_ids, [[2, 4, 5, 7, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(text_mask, [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]])
    assert (input_ids.dtype.name, text_mask.dtype.name) == ("int32", "float32")


def test_a_full_prompt_fits_and_is_not_cut_by_the_files_own_truncation(tokenizer: Tokenizer) -> None:
    input_ids, text_mask = tokenizer.encode(["a red a red a heart"])
    assert input_ids[0].tolist() == [2, 4, 5, 4, 5, 4, 7, 3]
    assert text_mask.all()


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
        Tokenizer(tmp_path / "tokenizer.json", 8)
