"""Reader of a built data set; needs numpy and pillow alone."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewstep.errors import FewstepError

Split = Literal["train", "zero", "compose"]


@dataclass(frozen=True)
class Row:
    """One picture: where its bytes are in ``images.bin``, and what it shows."""

    offset: int
    size: int
    style: str
    codepoints: str
    name: str
    keywords: tuple[str, ...]
    family: str
    group: str
    subgroup: str
    split: Split
    licence: str


class EmojiDataset:
    """A folder made by ``fewstep data build emoji``: ``rows`` and their RGBA pictures.

    Raises:
        FewstepError: the folder is not a built data set, or (with ``verify``) its files are not the ones that were built.
    """

    def __init__(self, folder: Path, verify: bool = False) -> None:
        self.folder = folder
        try:
            self.info = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
            self.rows = [_row(json.loads(line)) for line in lines]
            self.digest: str = self.info["digest"]
        except FileNotFoundError as error:
            raise FewstepError(
                f"expected a built data set in {folder}, but {Path(error.filename).name} is missing; run `fewstep data build emoji -o {folder}`"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise FewstepError(
                f"the data set in {folder} is damaged ({type(error).__name__}: {error}); build it again"
            ) from error
        if verify:
            self._verify()

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, name: Split) -> list[int]:
        """Indices of the rows of a split, in order."""
        return [i for i, row in enumerate(self.rows) if row.split == name]

    def image(self, index: int) -> NDArray[np.uint8]:
        """RGBA (size, size, 4) uint8, straight alpha."""
        return self.images([index])[0]

    def images(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """RGBA (N, size, size, 4) uint8, straight alpha."""
        with (self.folder / "images.bin").open("rb") as file:
            return np.stack([self._decode(file, self.rows[i]) for i in indices])

    def _decode(self, file: io.BufferedReader, row: Row) -> NDArray[np.uint8]:
        file.seek(row.offset)
        return np.asarray(Image.open(io.BytesIO(file.read(row.size))).convert("RGBA"))

    def _verify(self) -> None:
        for name in ("images.bin", "index.jsonl"):
            found, expected = file_sha256(self.folder / name), self.info["sha256"][name]
            if found != expected:
                raise FewstepError(
                    f"expected sha256 {expected} for {self.folder / name}, found {found}; build the data set again"
                )


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row(data: dict[str, object]) -> Row:
    keywords = data.pop("keywords")
    if not isinstance(keywords, list):
        raise TypeError("keywords is not a list")
    return Row(keywords=tuple(keywords), **data)  # type: ignore[arg-type]
