"""Text to token numbers of fixed length, by the `tokenizers` file that the bundle carries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tokenizers

from fewstep.errors import BundleError, FewstepError


class Tokenizer:
    """A `tokenizers` JSON file with padding to `max_length` and without truncation.

    Raises:
        BundleError: the file is no tokenizer.
    """

    def __init__(self, path: Path, max_length: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the package raises a bare Exception
            raise BundleError(f"expected a tokenizer, found something else, in {path} ({error})") from None
        padding = self._tokenizer.padding or {}
        self._pad_id = int(padding.get("pad_id", self._tokenizer.token_to_id("[PAD]") or 0))
        self._max_length = max_length
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """input_ids (B, max_length) int32 and text_mask (B, max_length) float32, 1 = token and 0 = padding.

        Raises:
            FewstepError: a text has more tokens than max_length, special tokens included, or is no Unicode text.
        """
        input_ids = np.full((len(texts), self._max_length), self._pad_id, dtype=np.int32)
        text_mask = np.zeros((len(texts), self._max_length), dtype=np.float32)
        for row, encoding in enumerate(self._encode(texts)):
            length = len(encoding.ids)
            if length > self._max_length:
                raise FewstepError(
                    f"expected a prompt of at most {self._max_length} tokens, found {length} tokens, "
                    f"in '{_short(texts[row])}'; shorten the prompt"
                )
            input_ids[row, :length] = encoding.ids
            text_mask[row, :length] = 1.0
        return input_ids, text_mask

    def _encode(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        try:
            return self._tokenizer.encode_batch(list(texts))
        except TypeError:  # half of a surrogate pair, as Python reads arguments that are not UTF-8
            raise FewstepError(
                f"expected prompts in UTF-8, found other bytes, in {list(texts)!a}; retype them"
            ) from None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
