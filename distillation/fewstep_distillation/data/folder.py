"""The folder of a built data set: written beside its place, then moved there as a whole."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fewstep_distillation.data.attribution import attribution
from fewstep_distillation.data.dataset import FORMAT, VERSION, combined_digest, file_sha256
from fewstep_distillation.data.emoji_config import EmojiConfig
from fewstep_distillation.data.pictures import Picture
from fewstep_distillation.data.splits import SPLITS


@dataclass(frozen=True)
class Counts:
    """Of pairs (pictures), glyphs, families; pairs by split, and by style and split."""

    pairs: int
    glyphs: int
    families: int
    splits: dict[str, int]
    styles: dict[str, dict[str, int]]

    @classmethod
    def of(cls, pictures: Sequence[Picture]) -> "Counts":
        """Counts the pictures."""
        cells = Counter((picture.style.key, picture.split) for picture in pictures)
        styles = list(dict.fromkeys(picture.style.key for picture in pictures))
        return cls(
            pairs=len(pictures),
            glyphs=len({picture.glyph.codepoints for picture in pictures}),
            families=len({picture.glyph.family for picture in pictures}),
            splits={split: sum(cells[style, split] for style in styles) for split in SPLITS},
            styles={style: {split: cells[style, split] for split in SPLITS} for style in styles},
        )


def write_folder(
    folder: Path,
    config: EmojiConfig,
    pictures: Sequence[Picture],
    encoded: Iterator[bytes],
    facts: dict[str, object],
) -> None:
    """Writes the four files of a data set into `folder`; `facts` are further entries of `dataset.json`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_pictures(folder, pictures, encoded)
    sha256 = {name: file_sha256(folder / name) for name in ("images.bin", "index.jsonl")}
    info = {
        "format": FORMAT,
        "version": VERSION,
        "size": config.size,
        "counts": asdict(Counts.of(pictures)),
        "options": {"flags": config.flags, "skins": config.skins, "glyphs": config.glyphs},
        "packages": [asdict(package) for package in config.packages],
        **facts,
        "sha256": sha256,
        "digest": combined_digest(sha256),
    }
    (folder / "dataset.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    (folder / "ATTRIBUTION.md").write_text(attribution(config), encoding="utf-8")


def install_folder(staged: Path, target: Path) -> None:
    """Moves a finished folder to its place; a folder that is there already goes only when the new one stands."""
    replaced = staged.with_name("replaced")
    if target.exists():
        target.rename(replaced)
    try:
        staged.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _write_pictures(folder: Path, pictures: Sequence[Picture], encoded: Iterator[bytes]) -> None:
    offset = 0
    with (
        (folder / "images.bin").open("wb") as images,
        (folder / "index.jsonl").open("w", encoding="utf-8") as index,
    ):
        for picture, data in zip(pictures, encoded, strict=True):
            row = {"offset": offset, "size": len(data), **picture.row}
            images.write(data)
            index.write(json.dumps(row, ensure_ascii=False) + "\n")
            offset += len(data)
