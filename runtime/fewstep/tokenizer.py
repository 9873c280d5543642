"""Prompts to token numbers of fixed length, by a `tokenizers` file that the bundle carries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import TokenizerFile


class Tokenizer:
    """A `tokenizers` JSON file with padding to `max_length` and without truncation.

    Args:
        content: the JSON.
        record: how prompts are written for it.

    Raises:
        BundleError: the content is no tokenizer.
    """

    def __init__(self, content: str, record: TokenizerFile) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # noqa: BLE001 - the package raises a bare Exception
            raise BundleError(
                f"expected a tokenizer, found something else, in {record.file} ({error}); export the bundle again"
            ) from None
        padding = self._tokenizer.padding or {}
        self._pad_id = int(padding.get("pad_id", self._tokenizer.token_to_id("[PAD]") or 0))
        self._record = record
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @classmethod
    def load(cls, path: Path, record: TokenizerFile) -> "Tokenizer":
        """The tokenizer in a file.

        Raises:
            BundleError: the file is no tokenizer.
            OSError: it cannot be read.
        """
        return cls(path.read_text(encoding="utf-8"), record)

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
            input_ids[row, :found] = encoding.ids
            text_mask[row, :found] = 1.0
        skip = np.full(len(texts), template.skip, dtype=np.int32)
        return {"input_ids": input_ids, "text_mask": text_mask, "text_skip": skip}

    def _written(self, text: str, negative: bool) -> str:
        template = self._record.negative if negative else self._record.prompt
        return template.before + (text.strip().lower() if self._record.lowercase else text) + template.after

    def _encode(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        try:
            return self._tokenizer.encode_batch(list(texts))
        except TypeError:  # half of a surrogate pair, as Python reads arguments that are not UTF-8
            raise FewstepError(
                f"expected prompts in UTF-8, found other bytes, in {list(texts)!a}; retype them"
            ) from None
        except Exception:  # noqa: BLE001 - the package raises a bare Exception
            raise FewstepError(
                f"expected prompts in the words of {self._record.file}, found others, in '{_short(texts[0])}'; choose "
                "one of its words"
            ) from None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
