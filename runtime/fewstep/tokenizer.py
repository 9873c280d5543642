"""Prompts to token numbers of fixed length, by a `tokenizers` file that the bundle carries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from fewstep.errors import BundleError, FewstepError
from fewstep.limits import PROMPT_CHARACTERS, TOKENIZER_BYTES
from fewstep.manifest import TokenizerFile
from fewstep.strict_json import read_bytes
from fewstep.tokenizer_check import require_tame

_LARGEST = 2**31 - 1


class Tokenizer:
    """A `tokenizers` JSON file with padding to `max_length` and without truncation.

    Args:
        content: the JSON.
        record: how prompts are written for it.

    Raises:
        BundleError: the content is no tokenizer.
    """

    def __init__(self, content: str, record: TokenizerFile) -> None:
        require_tame(content, record.file)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
        except BaseException as error:  # noqa: BLE001 - panics of Rust are BaseExceptions
            _require_of_package(error)
            raise BundleError(
                f"expected a tokenizer, found something else, in {record.file} ({error}); export the bundle again"
            ) from None
        padding = self._tokenizer.padding or {}
        self._pad_id = int(padding.get("pad_id", self._tokenizer.token_to_id("[PAD]") or 0))
        if self._pad_id > _LARGEST:
            raise BundleError(
                f"expected token numbers up to {_LARGEST}, found {self._pad_id} for padding, in {record.file}"
            )
        self._record = record
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @classmethod
    def load(cls, path: Path, record: TokenizerFile) -> "Tokenizer":
        """The tokenizer in a file.

        Raises:
            BundleError: the file is no tokenizer, or cannot be read.
        """
        data = read_bytes(path, TOKENIZER_BYTES)
        try:
            return cls(data.decode("utf-8"), record)
        except UnicodeDecodeError as error:
            raise BundleError(
                f"expected a tokenizer in UTF-8, found other bytes, in {path} ({error})"
            ) from None

    def pieces(self) -> list[str]:
        """The vocabulary in the order of its numbers, as the file writes it."""
        vocabulary = self._tokenizer.get_vocab()
        return sorted(vocabulary, key=vocabulary.__getitem__)

    def encode(self, texts: Sequence[str], negative: bool = False) -> dict[str, npt.NDArray[Any]]:
        """The tensors of B prompts, or of B negative prompts, inside their template.

        Returns:
            `input_ids` (B, max_length) int32; `text_mask` (B, max_length) float32, 1 = token and 0 = padding; and `text_skip`
            (B,) int32, see `fewstep.manifest.Template`.

        Raises:
            FewstepError: a text has more tokens than max_length, special tokens included, is no Unicode text, or has words that
                the tokenizer lacks.
        """
        length = self._record.max_length
        input_ids = np.full((len(texts), length), self._pad_id, dtype=np.int32)
        text_mask = np.zeros((len(texts), length), dtype=np.float32)
        template = self._record.negative if negative else self._record.prompt
        for row, encoding in enumerate(self._encode([self._written(text, negative) for text in texts])):
            found = len(encoding.ids)
            if found > length:
                raise FewstepError(
                    f"expected a prompt of at most {length} tokens, found {found} tokens, "
                    f"in '{_short(texts[row])}'; shorten the prompt"
                )
            if max(encoding.ids, default=0) > _LARGEST:
                raise BundleError(
                    f"expected token numbers up to {_LARGEST}, found {max(encoding.ids)}, by {self._record.file}"
                )
            input_ids[row, :found] = encoding.ids
            text_mask[row, :found] = 1.0
        skip = np.full(len(texts), template.skip, dtype=np.int32)
        return {"input_ids": input_ids, "text_mask": text_mask, "text_skip": skip}

    def _written(self, text: str, negative: bool) -> str:
        template = self._record.negative if negative else self._record.prompt
        return template.before + (text.strip().lower() if self._record.lowercase else text) + template.after

    def _encode(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        for text in texts:
            if len(text) > PROMPT_CHARACTERS:
                raise FewstepError(
                    f"expected a prompt of at most {PROMPT_CHARACTERS} characters, found {len(text)}; shorten it"
                )
        try:
            return self._tokenizer.encode_batch(list(texts))
        except TypeError:  # half of a surrogate pair, as Python reads arguments that are not UTF-8
            raise FewstepError(
                f"expected prompts in UTF-8, found other bytes, in {list(texts)!a}; retype them"
            ) from None
        except BaseException as error:  # noqa: BLE001 - panics of Rust are BaseExceptions
            _require_of_package(error)
            raise FewstepError(
                f"expected prompts in the words of {self._record.file}, found others, in '{_short(texts[0])}'; choose "
                "one of its words"
            ) from None


def _require_of_package(error: BaseException) -> None:
    """Lets through what is no error of the package, which raises bare Exceptions, and panics of Rust that are none."""
    if isinstance(error, MemoryError | KeyboardInterrupt | SystemExit | GeneratorExit):
        raise error


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
