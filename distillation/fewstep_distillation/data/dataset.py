"""Reader of a built data set; needs numpy and pillow alone."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewstep.errors import FewstepError

FORMAT, VERSION = "fewstep-dataset", 1

Split = Literal["train", "zero", "compose"]


@dataclass(frozen=True)
class Row:
    """One picture: where its bytes are in `images.bin`, and what it shows.

    `style` is a key of `styles.WORDS`; `codepoints` joins the packages; `family` is shared by what a split must not part.
    """

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
    """A folder made by `fewstep data build emoji`: `info` is its `dataset.json`, `rows` its index, `digest` names its content.

    Raises:
        FewstepError: the folder is not a built data set, or (with `verify`) its files are not those that were built.
    """

    def __init__(self, folder: Path, verify: bool = False) -> None:
        self.folder = folder
        try:
            self.info: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            _check_format(self.info)
            self.digest: str = self.info["digest"]
            lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
            self.rows = [_row(json.loads(line)) for line in lines]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FewstepError(
                f"expected a built data set in {folder}, but {Path(error.filename).name} is missing; "
                f"run `fewstep data build emoji -o {folder}`"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from None
        if verify:
            self._verify()

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, name: Split) -> list[int]:
        """Indices of the rows of a split, in order."""
        return [i for i, row in enumerate(self.rows) if row.split == name]

    def image(self, index: int) -> NDArray[np.uint8]:
        """RGBA (size, size, 4) uint8, straight alpha, colour 0 where alpha is 0."""
        return self.images([index])[0]

    def images(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """RGBA (N, size, size, 4) uint8, straight alpha; N is at least 1.

        Raises:
            FewstepError: `images.bin` is missing, short or damaged.
        """
        try:
            with (self.folder / "images.bin").open("rb") as file:
                return np.stack([_decode(file, self.rows[i]) for i in indices])
        except OSError as error:  # Pillow's errors are among them
            raise self._damaged(f"images.bin: {error}") from None

    def _damaged(self, reason: str) -> FewstepError:
        return FewstepError(
            f"the data set in {self.folder} is damaged ({reason}); "
            f"run `fewstep data build emoji -o {self.folder} --overwrite`"
        )

    def _verify(self) -> None:
        for name, expected in self.info["sha256"].items():
            path = self.folder / name
            found = file_sha256(path) if path.is_file() else "no file"
            if found != expected:
                raise self._damaged(f"expected sha256 {expected} for {name}, found {found}")


def combined_digest(sha256: Mapping[str, str]) -> str:
    """The one name of a data set's content, from the SHA-256 of its two files."""
    return hashlib.sha256((sha256["images.bin"] + sha256["index.jsonl"]).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_format(info: dict[str, Any]) -> None:
    found = info.get("format"), info.get("version")
    if found != (FORMAT, VERSION):
        raise ValueError(f"expected format {FORMAT} version {VERSION}, found {found[0]} version {found[1]}")


def _decode(file: io.BufferedReader, row: Row) -> NDArray[np.uint8]:
    file.seek(row.offset)
    return np.asarray(Image.open(io.BytesIO(file.read(row.size))).convert("RGBA"))


def _row(data: dict[str, Any]) -> Row:
    keywords = data.pop("keywords")
    if not isinstance(keywords, list):
        raise TypeError("keywords is not a list")
    return Row(keywords=tuple(keywords), **data)
